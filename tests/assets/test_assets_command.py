"""The command and the folders: licence gate, states, table, `asset:` in YAML."""

from dataclasses import replace

import pytest

from exomni import assets, cli
from exomni.artifacts import signature
from exomni.assets import command, show
from exomni.assets.catalogue import ASSETS
from exomni.assets.sources import Addresses
from exomni.model.given import locate

BODY = b"0123456789" * 1000


@pytest.fixture
def catalogue(monkeypatch):
    """Puts assets in place of the real ones."""

    def put(*items):
        for module in (command, show):
            monkeypatch.setattr(module, "ASSETS", {item.name: item for item in items})

    return put


def test_get_downloads_checks_and_says_where(publisher, home, make_asset, catalogue, capsys):
    catalogue(make_asset(publisher.file("weights.bin", BODY), publisher.file("sub/config.json", b"{}")))
    assert cli.main(["assets", "get", "thing"]) == 0
    said = capsys.readouterr()
    assert said.out.index("looking at it only") < said.out.index("digests checked")
    assert "https://licence.example" in said.out
    assert "10.0k/10.0k" in said.err
    assert (home / "thing" / "weights.bin").read_bytes() == BODY
    assert (home / "thing" / "sub" / "config.json").read_bytes() == b"{}"
    asked = len(publisher.asked)
    assert cli.main(["assets", "get", "thing"]) == 0
    assert "thing is complete" in capsys.readouterr().out
    assert len(publisher.asked) == asked


def test_a_restrictive_licence_stands_before_any_download(publisher, home, make_asset, catalogue, capsys):
    free = make_asset(publisher.file("a.bin", BODY), name="free")
    bound = make_asset(publisher.file("b.bin", BODY), name="bound", restricted=True)
    catalogue(free, bound)
    assert cli.main(["assets", "get", "free", "bound"]) == 2
    said = capsys.readouterr()
    assert "looking at it only" in said.out
    assert "nothing was downloaded" in said.err and "--accept-licence" in said.err
    assert publisher.asked == [] and not home.exists()
    assert cli.main(["assets", "get", "free", "bound", "--accept-licence"]) == 0
    assert assets.state("bound").present == "complete"


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("", 2), ("no", 2)])
def test_a_terminal_is_asked(publisher, home, make_asset, catalogue, monkeypatch, answer, code):
    catalogue(make_asset(publisher.file("b.bin", BODY), restricted=True))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert cli.main(["assets", "get", "thing"]) == code
    assert bool(publisher.asked) == (code == 0)


def test_unknown_names_are_refused_with_the_nearest(capsys):
    assert cli.main(["assets", "get", "whisper-tiny"]) == 2
    assert "did you mean 'whisper-tiny.en'?" in capsys.readouterr().err
    assert cli.main(["assets", "get"]) == 2
    assert "name what to get: ex-omni" in capsys.readouterr().err


def test_list_tells_absent_partial_and_complete(publisher, home, make_asset, catalogue, capsys):
    file = publisher.file("weights.bin", BODY)
    whole, part, none = (make_asset(file, name=name) for name in ("whole", "part", "none"))
    catalogue(whole, part, replace(none, size=16_400_000_000))
    command.get(whole)
    publisher.drop_after = 3000
    publisher.ranges = False  # each try starts over and breaks at the same byte
    with pytest.raises(ConnectionError):
        command.get(part)
    assert cli.main(["assets", "list"]) == 0
    header, *rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert header == ["name", "present", "size", "licence", "needed", "by"]
    assert [row[:5] for row in rows[:3]] == [
        ["whole", "complete", "10", "kB", "Some"],
        ["part", "partial,", "3", "kB", "10"],
        ["none", "absent", "16.4", "GB", "Some"],
    ]
    assert assets.state("part") == assets.State("partial", 3000, 10_000)
    publisher.ranges, publisher.drop_after, publisher.served = True, None, 0
    command.get(part)
    assert publisher.served == 7000
    assert assets.state("part").present == "complete"


def test_another_pinned_revision_fetches_what_differs_only(publisher, home, make_asset):
    kept, old, new = (publisher.file(name, body) for name, body in (("kept", b"k"), ("old", b"o"), ("new", b"n")))
    command.get(make_asset(kept, old))
    publisher.served = 0
    asset = make_asset()
    command.get(replace(asset, source=Addresses("page", (kept, new), revision="later")))
    assert sorted(path.name for path in (home / "thing").iterdir()) == ["asset.json", "kept", "new"]
    assert publisher.served == 1


def test_a_disk_that_is_too_small_is_said_before_the_download(publisher, home, make_asset):
    file = replace(publisher.file("weights.bin", BODY), size=10**18)
    with pytest.raises(OSError, match="thing needs 1000000000.0 GB more"):
        command.get(make_asset(file))
    assert publisher.asked == []


def test_assets_lie_in_the_home_that_the_user_names(tmp_path, monkeypatch):
    monkeypatch.delenv("EXOMNI_ASSETS", raising=False)
    monkeypatch.setenv("EXOMNI_HOME", str(tmp_path))
    assert assets.home() == tmp_path / "assets"


def test_yaml_may_name_an_asset(publisher, home, make_asset):
    assert assets.resolve("owner/model") == "owner/model"
    for weights in ("asset:thing", "asset:thing/weights.bin"):
        with pytest.raises(FileNotFoundError, match="`exomni assets get thing`"):
            assets.resolve(weights)
    with pytest.raises(FileNotFoundError, match="`exomni assets get thing`"):
        locate(None, "asset:thing")
    command.get(make_asset(publisher.file("config.json", b"{}")))
    assert assets.folder("thing") == home / "thing"
    assert locate(None, "asset:thing") == str(home / "thing")
    assert assets.resolve("asset:thing/config.json") == str(home / "thing" / "config.json")


def test_an_asset_counts_in_a_run_by_its_content(publisher, home, make_asset, logs):
    from exomni import config
    from exomni.artifacts.declare import Artifacts
    from exomni.artifacts.materialise import make_here

    def llm(weights):
        return Artifacts(config.load("nano", [f"model.llm.weights={weights}"]))["backbone/llm"]

    lacking = llm("asset:thing")
    assert not lacking.complete and "`exomni assets get thing`" in lacking.absent
    with pytest.raises(FileNotFoundError, match="`exomni assets get thing`"):
        make_here([Artifacts(config.load("nano", ["model.llm.weights=asset:thing"])).made("stage/speech_face.units")])
    command.get(make_asset(publisher.file("config.json", b"{}")))
    given, named = llm("asset:thing"), llm(home / "thing")
    assert given.signature == named.signature and given.folder == home / "thing" and given.complete
    assert given.signature != lacking.signature


def test_training_depends_on_where_assets_lie_and_not_on_the_catalogue():
    found = [name for name in signature.code(("exomni.model.pretrained",)).sources if name.startswith("exomni.assets")]
    assert found == ["exomni.assets"]


def test_the_catalogue_is_sound():
    for asset in ASSETS.values():
        assert asset.licence.link.startswith("https://") and asset.source.page.startswith("https://")
        if isinstance(asset.source, Addresses):
            assert asset.size == sum(file.size for file in asset.source.files)
            assert all(len(file.digest) == len("sha256:") + 64 for file in asset.source.files)
        elif asset.source.revision:
            assert len(asset.source.revision) == 40
    syncnet = {file.path: file.digest.removeprefix("sha256:") for file in ASSETS["syncnet"].source.files}
    assert syncnet["syncnet_v2.model"].startswith("961e8696") and syncnet["syncnet_v2.model"].endswith("5442")
    assert syncnet["sfd_face.pth"].startswith("d54a87c2") and syncnet["sfd_face.pth"].endswith("c491")
    assert ASSETS["ex-omni"].licence.restricted and "European Union" in ASSETS["ex-omni"].licence.allows
