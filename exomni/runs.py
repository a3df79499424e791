"""Finished runs as models."""

from __future__ import annotations

from exomni import config as configuration
from exomni import files
from exomni.model.build import PARTS, build_model
from exomni.model.ex_omni import ExOmni
from exomni.pretrain.artefacts import artefacts
from exomni.stages.base import load_weights
from exomni.stages.fit import WEIGHTS
from exomni.steps import steps


def load_run(config: configuration.Config) -> ExOmni:
    """The model of a finished run with its trained weights, in evaluation mode. FileNotFoundError names a stage that is not.

    With `model.released` it is the released model from that folder instead.
    """
    if config["model.released"]:
        from exomni.model.released.model import from_settings

        return from_settings(config.__getitem__)
    chain = steps(config)
    missing = [step.name for step in chain if not step.complete]
    if missing:
        raise FileNotFoundError(
            f"{config.name}: not trained yet: {', '.join(missing)}; run `exomni train` with this configuration"
        )
    made = artefacts(config)
    codec = made["codec"].folder
    facts = files.done(codec) if codec else None
    assert facts is not None  # a complete stage was trained on its units
    folders = {name: item.folder for name, item in made.items()}
    # With the run's seed: a part that no stage trained is then what it was while the others were trained.
    model = build_model(config.__getitem__, parts=PARTS, folders=folders, unit_vocab=facts["vocab"], seed=config["seed"])
    model.unit_generator.start_from(folders.get("unit_generator"))
    load_weights(model, tuple(step.folder / WEIGHTS for step in chain))
    return model.eval()
