"""Looks inside a finished run, cell by cell; every editor that knows `# %%` runs them one at a time.

exomni train experiments/nano.yaml
python examples/inside_a_run.py experiments/nano.yaml
"""

# %% The run: an experiment in YAML, with its stages as artifacts
import sys

from exomni import config
from exomni.stages.runs import load_run, stages_of

run = config.load(sys.argv[1] if len(sys.argv) > 1 else "nano")
for stage in stages_of(run):
    print(f"{stage.title}: {stage.signature[:7]} in {stage.folder}")

# %% What training did: held-out numbers before and after each stage
for stage in stages_of(run):
    validation = stage.facts["validation"]
    for name, end in validation["end"].items():
        print(f"{stage.name:20} {name:16} {validation['start'][name]:9.4f} -> {end:9.4f}")

# %% The model, with its trained weights
model = load_run(run)
for name, part in model.named_children():
    print(f"{name:20} {sum(weights.numel() for weights in part.parameters()):>12,} parameters")

# %% One part of it: the fusion in front of the face, as PyTorch shows it
print(model.blendshape_decoder.fusion)
