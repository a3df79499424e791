"""One prompt in, one answer out: text, WAV, coefficients and, where rendering is installed, a video."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from exomni import arkit, clock, config, files, registry
from exomni.data import conversation
from exomni.model.ex_omni import GenerationSettings
from exomni.pretrain.artefacts import artefacts
from exomni.runs import load_run
from exomni.stages.assemble import collator_for, open_codec
from exomni.types import Sample


def answer(
    settings: config.Config, *, text: str | None, speech: Path | None, out: Path, say: Callable[[str], None] = print
) -> list[Path]:
    """Answer one read or heard prompt with a finished run; returns the files written to `out`.

    ValueError for an empty text or unusable audio, FileNotFoundError for a missing recording or an untrained run.
    """
    sample = _prompt(text, speech)
    model = load_run(settings)
    reply = model.generate(collator_for(model).prompts([sample]), GenerationSettings(**settings["generation"]))
    codec_folder = artefacts(settings)["codec"].folder
    assert codec_folder is not None
    audio = open_codec(settings["codec"], codec_folder).decode(reply.units[0].numpy())
    raw = reply.faces[0].numpy()
    face = raw.clip(0, 1)
    if (outside := int((raw != face).sum())) > 0:
        say(f"clipped {outside} of {raw.size} coefficients to 0..1")
    say(reply.texts[0])
    return _write(settings, out, reply.texts[0], reply.units[0].numpy(), audio, face, say)


def _prompt(text: str | None, speech: Path | None) -> Sample:
    if speech is None:
        if not text or not text.strip():
            raise ValueError("--text is empty; give the model something to answer")
        return Sample("prompt", "t2t", conversation.user_turn("t2t", text, heard=False), "", text)
    return Sample("prompt", "s2sf", conversation.user_turn("s2sf", "", heard=True), "", "", prompt_audio=read_audio(speech))


def read_audio(path: Path) -> np.ndarray:
    """A recording as mono float32 at 16 kHz; channels are averaged, another rate is resampled."""
    import soundfile
    from scipy.signal import resample_poly

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such recording")
    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path}: not readable as audio ({error}); WAV and FLAC are") from None
    mono = audio.mean(1)
    if rate != clock.AUDIO_HZ:
        common = int(np.gcd(rate, clock.AUDIO_HZ))
        mono = resample_poly(mono, clock.AUDIO_HZ // common, rate // common)
    return mono.astype(np.float32)


def _write(
    settings: config.Config,
    out: Path,
    text: str,
    units: np.ndarray,
    audio: np.ndarray,
    face: np.ndarray,
    say: Callable[[str], None],
) -> list[Path]:
    import soundfile

    out.mkdir(parents=True, exist_ok=True)
    files.write_text(out / "answer.txt", text + "\n")
    soundfile.write(out / "answer.wav", audio, clock.AUDIO_HZ)
    np.savez(out / "answer.npz", coefficients=face, names=np.array(arkit.NAMES), fps=clock.FACE_HZ, units=units)
    written = [out / "answer.txt", out / "answer.wav", out / "answer.npz"]
    if not len(face):
        say("the model said nothing, so there is no face to show")
        return written
    try:
        import imageio_ffmpeg  # noqa: F401
        import pyvista  # noqa: F401
    except ImportError:
        say("no video: pip install 'exomni[render]' for one")
        return written
    from exomni.render.renderer import Renderer
    from exomni.render.video import write_video

    with Renderer(registry.build("head", settings["head"])) as renderer:
        write_video(out / "answer.mp4", renderer.frames(face), fps=clock.FACE_HZ, audio=audio, sample_rate=clock.AUDIO_HZ)
    return [*written, out / "answer.mp4"]
