"""Scores of finished runs, of the controls that say what they are worth, of suites, and of files that others made.

All take one way, and every step is an artifact that the next one reads (`exomni.evaluation.artifacts`):
  prompts, clip_folder    what is to be answered; clips that others made
  answers, teacher        what is said: by a run, with the face of a face model, by the truth
  comparable              generated answers that may be compared in time, on the truth's clock
  scoring, controls       one metric on answers, and on ceilings and floors; then all metrics together
  result                  scores beside their ceilings and floors, for a reader

Three modes of answering are scored, each by the same metrics:
  teacher_forced   true text and true units are given; names stand bare (`sync_c`)
  text_to_face     read prompts; the model's own text and units, decoded to audio (`text_to_face/sync_c`)
  speech_to_face   heard prompts, likewise (`speech_to_face/sync_c`)
Generated answers have a pace of their own. Metrics that compare frame by frame are taken along a time-warping path between
generated and true speech, over the answers that say what the truth says and can be understood, and are called `<name>_dtw`.
"""
