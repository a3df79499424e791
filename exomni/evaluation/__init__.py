"""Scores: of finished runs, of the controls that say what they are worth, of suites, and of files that others made.

Three modes of answering are scored, each by the same metrics:
  teacher-forced   true text and true units are given; names stand bare (`sync_c`)
  text_to_face     read prompts; the model's own text and units, decoded to audio (`text_to_face/sync_c`)
  speech_to_face   heard prompts, likewise (`speech_to_face/sync_c`)
Generated answers have a pace of their own. Metrics that compare frame by frame are taken along a time-warping path between
generated and true speech, over the answers that say what the truth says and can be understood, and are called `<name>_dtw`.
"""
