"""A report says what its controls say against its sync scores."""

import dataclasses

from fake_runs import FakeWorkbench

from exomni import files
from exomni.ablation import formats, plan, record, results


def made(ablation) -> results.Results:
    workbench = FakeWorkbench()
    planned = plan.make(ablation, workbench=workbench)
    for cell in planned.cells:
        for thing in (*cell.artefacts, *cell.stages, cell.evaluation, cell.controls):
            if not thing.complete:
                workbench.perform(cell.config, thing.kind, thing.name)
    record.save(planned, record.folder_of("which"))
    return results.collect("which")


def test_controls_below_every_interval_say_nothing(ablation):
    assert made(ablation).warnings == ()


def test_a_still_face_as_good_as_a_run_is_said_in_every_format(ablation):
    cell = made(ablation).record["cells"][0]
    path = record.marker(cell["evaluation"])
    files.write_json(path, {**files.read_json(path), "intervals": {"sync_c": [0.2, 7.0]}})
    found = results.collect("which")
    (line,) = found.warnings
    assert line.startswith("tqgf, seed 0: the control 'still face' has Sync-C 0.250, not below the 95% interval 0.200 to 7.000")
    assert f"WARNING {line}" in formats.terminal(found, bold=False)
    assert f"\x1b[31mWARNING {line}\x1b[0m" in formats.terminal(found, bold=True)
    assert f"- **WARNING** {line}" in formats.markdown(found)
    assert f"% WARNING {line}" in formats.latex(found)
    page = formats.html(dataclasses.replace(found, warnings=("a < b",)))
    assert "<p class=warning><b>WARNING</b> a &lt; b</p>" in page
    assert ".warning { color: #b00020 }" in page


def test_an_expert_that_cannot_judge_is_said_once_for_all_cells(ablation):
    record = made(ablation).record
    controls = next(job for job in record["jobs"] if job["kind"] == "controls")
    path = record.marker(controls["makes"][0])
    scores = files.read_json(path)
    scores["rows"]["still face"]["sync_c"] = 9.9
    files.write_json(path, scores)
    warnings = results.collect("which").warnings
    assert [line for line in warnings if "it cannot judge" in line] == [
        "the expert gives the teacher Sync-C 9.500 and the control 'still face' 9.900: it cannot judge"
    ]
