"""Archives of results: the same tables as from their folder, in one file that is whole or said to be damaged."""

import io
import lzma
import shutil
import tarfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from report.synthetic import write_suite as write_synthetic
from tiny import runs, write_suite

import run_all
from bench.config.suite import Run
from bench.errors import UsageError
from bench.records import archive, records
from bench.records.archive import halved, opened, unpack, write_archive
from bench.records.frame import read_configs, read_frame
from bench.records.planned import write_plan
from bench.records.reading import read_record
from bench.records.records import Measurement, write_stage
from bench.records.seal import check, read_arrays, read_json, write_json

FACTS = {"label": "FM w/ OT", "dataset_version": "1:abc", "parameters": 42, "steps": 6, "device": "cpu"}


def complete(root: Path, run: Run, value: float = 0.2) -> None:
    arrays = {
        "samples": np.linspace(0, 1, 40).reshape(20, 2),
        "times": np.array([0.1, 1.0]),
        "images": np.zeros((2, 3, 4), np.uint8),
    }
    for stage in run.stages:
        write_stage(root, run, stage, [Measurement("w2", value, 0.01, 20)], FACTS, arrays if stage == "samples" else {})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the records of two methods, two seeds each, under results/tiny, and their archive."""
    folder = tmp_path_factory.mktemp("made")
    root = folder / "results" / "tiny"
    planned = runs(folder, seeds=[0, 1])
    with mock.patch("os.fsync"):
        for i, run in enumerate(planned):
            complete(root, run, 0.1 * (i + 1))
    write_plan(root, "about", planned)
    write_archive([root], folder / "a.tar.xz")
    return folder


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """Those records, to be changed."""
    shutil.copytree(made / "results", tmp_path / "results")
    return tmp_path / "results" / "tiny"


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    return run_all.main(list(map(str, arguments))), *capsys.readouterr()


def test_what_comes_out_is_what_went_in(root: Path, tmp_path: Path) -> None:
    first = root / "runs" / runs(tmp_path)[0].run_id
    (first / "log.txt").write_text("a log stays here")
    (first / "slurm.json").write_text("{}")
    file = tmp_path / "a.tar.xz"
    assert write_archive([root], file).notes == []
    with opened(file) as back:
        assert read_frame(back).equals(read_frame(root))
        assert read_configs(back) == read_configs(root)
        names = {str(path.relative_to(back)) for path in back.rglob("*") if path.is_file()}
        for path in back.rglob("*.json"):
            assert path.name == "plan.json" or path.read_bytes() == (root / path.relative_to(back)).read_bytes()
        assert read_json(back / "plan.json") == read_json(root / "plan.json")
        arrays = sorted(back.rglob("*.npz"))
        assert len(arrays) == 2 and all(path.parent.name.endswith("-s0") and check(path) is None for path in arrays)
        found = read_arrays(arrays[0])
    assert len(names) == 4 * 3 + 2 + 1
    assert found["samples"].dtype == np.float16 and found["samples"].shape == (20, 2)
    assert found["times"].tolist() == [0.1, 1.0] and found["images"].dtype == np.uint8


def test_a_suite_goes_on_from_an_archive(made: Path, tmp_path: Path) -> None:
    """The arrays of the second seeds stay behind, and their stages are finished all the same."""
    first, *_ = planned = runs(made, seeds=[0, 1, 2])
    with tarfile.open(made / "a.tar.xz") as tar:
        tar.extractall(tmp_path, filter="data")
    assert [records.finished(tmp_path, run) for run in planned] == [run.seed < 2 for run in planned]
    assert first.seed == 0
    (tmp_path / "runs" / first.run_id / "samples.json").unlink()
    assert not records.finished(tmp_path, first)


def test_the_same_records_give_the_same_bytes(root: Path, tmp_path: Path) -> None:
    a, b, c = (tmp_path / f"{name}.tar.xz" for name in "abc")
    write_archive([root], a)
    write_archive([root], b)
    write_archive([a], c)
    assert a.read_bytes() == b.read_bytes() == c.read_bytes()


def test_arrays_of_the_datasets_that_are_named_alone(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def held(*arguments: str) -> list[str]:
        packed, folder = tmp_path / "some.tar.xz", tmp_path / "some"
        shutil.rmtree(folder, ignore_errors=True)
        code, _, error = call(capsys, "--results", root.parent, "--suite", suite, "--archive", packed, *arguments)
        assert (code, error) == (0, "")
        unpack(packed, folder)
        assert len(list(folder.glob("runs/*/samples.json"))) == 4
        return sorted(path.parent.name.split("-")[0] for path in folder.glob("runs/*/*.npz"))

    suite = write_suite(tmp_path)
    (dataset,) = {run.dataset.name for run in runs(tmp_path)}
    assert held() == held("--arrays", dataset) == [dataset] * 2 and held("--arrays", "") == []
    code, _, error = call(
        capsys, "--results", root.parent, "--suite", suite, "--archive", tmp_path / "b.tar.xz", "--arrays", "moon"
    )
    assert code == 2 and error.endswith(f"--arrays moon: unknown dataset of these records 'moon'; known: {dataset}\n")


def test_only_fractions_that_fit_are_halved() -> None:
    values = np.array([[1.0, 2.0], [3.0, np.nan]])
    assert halved(values).dtype == np.float16 and np.isnan(halved(values)[1, 1])
    assert halved(values * 1e6).dtype == np.float64
    assert halved(values[0]).dtype == np.float64
    assert halved(np.ones((2, 2), np.int64)).dtype == np.int64
    assert halved(np.full((2, 2), np.nan)).dtype == np.float16


def test_what_is_not_sound_stays_behind_and_is_named(root: Path, tmp_path: Path) -> None:
    first, second = (records.run_folder(root, run.run_id) for run in runs(tmp_path))
    (first / "train.json").write_text("{")
    (second / "samples.npz").write_bytes(b"PK")
    notes = write_archive([root], tmp_path / "a.tar.xz").notes
    assert len(notes) == 2 and str(first / "train.json") in notes[0] and str(second / "samples.npz") in notes[1]
    with opened(tmp_path / "a.tar.xz") as back:
        table = read_frame(back)
        assert set(table[table.run_id == first.name].status) == {"missing", "ok"}
        # The arrays are then those of the next seed.
        assert (back / "runs" / second.name.replace("-s0", "-s1") / "samples.npz").exists()


def test_what_is_not_sound_in_an_archive_is_named_by_it(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = records.run_folder(root, runs(tmp_path)[0].run_id) / "train.json"
    monkeypatch.setattr("bench.records.stored.read_record", lambda at: seal_off(at) if at == path else read_record(at))

    def seal_off(at: Path) -> dict[str, object] | None:
        record = read_record(at)
        write_json(at, read_json(at) | {"seed": "0"})
        return record

    file = tmp_path / "a.tar.xz"
    write_archive([root], file)
    monkeypatch.undo()
    code, out, _ = call(capsys, "--results", file, "--status")
    assert code == 1 and f"{file}/runs/{path.parent.name}/train.json: not a record (seed = '0'" in out
    (note,) = write_archive([file], tmp_path / "b.tar.xz").notes
    assert note.startswith(f"left out: {file}/runs/{path.parent.name}/train.json: not a record")


def damaged(data: bytes, kind: str) -> bytes:
    middle = len(data) // 2
    return {
        "empty": b"",
        "cut short": data[:-1],
        "cut in two": data[:middle],
        "a flipped bit": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "text": b"not an archive",
        "no tar": lzma.compress(b"not a tar" * 1000),
    }[kind]


@pytest.mark.parametrize("kind", ["empty", "cut short", "cut in two", "a flipped bit", "text", "no tar"])
@pytest.mark.parametrize("action", ["--status", "--report", "--dry-run"])
def test_a_damaged_archive_is_one_line(
    made: Path, tmp_path: Path, kind: str, action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.tar.xz"
    file.write_bytes(damaged((made / "a.tar.xz").read_bytes(), kind))
    code, out, err = call(capsys, "--results", file, action)
    assert (code, out) == (2, "") and err.count("\n") == 1 and f"{file}: no archive of records" in err
    assert not (tmp_path / "a").exists()


STRANGE = {
    "../../x.json": tarfile.REGTYPE,
    "/etc/x": tarfile.REGTYPE,
    "runs/../../x/train.json": tarfile.REGTYPE,
    "runs/../train.json": tarfile.REGTYPE,
    "runs/a-s0/train.py": tarfile.REGTYPE,
    "runs/.hidden/train.json": tarfile.REGTYPE,
    "runs/a-s0/train.json": tarfile.SYMTYPE,
    "runs/a-s0/sweep.json": tarfile.LNKTYPE,
    "plan.json": tarfile.FIFOTYPE,
    "runs/a-s0": tarfile.DIRTYPE,
}


@pytest.mark.parametrize("name", STRANGE)
def test_nothing_leaves_an_archive_but_records(name: str, tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = STRANGE[name], "/etc/passwd"
        tar.addfile(entry, io.BytesIO())
    file = tmp_path / "in" / "a.tar.xz"
    file.parent.mkdir()
    file.write_bytes(lzma.compress(data.getvalue()))
    with pytest.raises(UsageError, match="no archive of records: it holds"):
        unpack(file, tmp_path / "in" / "a")
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "a.tar.xz"]


# Two together.


def test_two_archives_merge(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both, other = tmp_path / "both.tar.xz", tmp_path / "elsewhere" / "tiny"
    planned = runs(tmp_path, seeds=[0, 1, 2])
    new = [run for run in planned if run.seed == 2]
    shutil.copytree(root, other)  # the same records, once
    for run in new:
        complete(other, run, 9.0)
    newer = records.run_folder(other, planned[0].run_id) / "train.json"
    older = records.run_folder(other, planned[1].run_id) / "train.json"
    for path, year, value in ((newer, "2999", 7.0), (older, "1999", 8.0)):
        record = read_json(path)
        record["measurements"][0]["value"] = value
        write_json(path, record | {"finished": f"{year}-01-01T00:00:00+00:00"})
    write_plan(other, "other", new)
    write_archive([other], tmp_path / "other.tar.xz")
    suite = write_suite(tmp_path)
    code, out, err = call(
        capsys, "--suite", suite, "--results", root.parent, "--archive", both, "--merge", tmp_path / "other.tar.xz"
    )
    assert (code, err) == (0, "") and out.splitlines()[-1].startswith("archive: 18 records of 6 runs in")
    assert out.count("twice with other content") == 2
    assert f"{planned[0].run_id} train twice with other content: took that of 2999" in out
    with opened(both) as back:
        table = read_frame(back)
    assert set(table.status) == {"ok"} and len(table) == 18
    train = table[table.stage == "train"].set_index("run_id").value
    assert train[planned[0].run_id] == 7.0 and train[planned[1].run_id] != 8.0
    assert set(table[table.seed == 2].value) == {9.0} and set(table.current) == {True}


def test_a_finished_record_beats_a_later_failure(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    run = runs(tmp_path)[0]
    write_stage(other, run, "train", [], FACTS, error="no space")
    for sources in ([root, other], [other, root]):
        write_archive(sources, tmp_path / "a.tar.xz")
        with opened(tmp_path / "a.tar.xz") as back:
            assert set(read_frame(back).status) == {"ok"}


def test_other_settings_of_the_second_are_not_current(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    changed = runs(tmp_path, settings={"training.lr": 0.5})
    for run in changed:
        complete(other, run)
    write_plan(other, "other", changed)
    write_archive([root, other], tmp_path / "a.tar.xz")
    with opened(tmp_path / "a.tar.xz") as back:
        table = read_frame(back)
    current = table.groupby("variant").current.all()
    assert current.to_dict() == {run.variant: run not in changed for run in [*runs(tmp_path), *changed]}


def test_claims_are_passed_on(root: Path, tmp_path: Path) -> None:
    other, claim = tmp_path / "other", {"id": "T1", "title": "t", "subject": ["a"], "against": ["b"]}
    shutil.copytree(root, other)
    write_json(root / "claims.json", {"claims": [claim]})
    write_json(other / "claims.json", {"claims": [claim | {"title": "another"}, claim | {"id": "T2"}]})
    notes = write_archive([root, other], tmp_path / "a.tar.xz").notes
    assert notes == ["claim T1 twice: took the first"]
    with opened(tmp_path / "a.tar.xz") as back:
        assert read_json(back / "claims.json") == {"claims": [claim, claim | {"id": "T2"}]}
    (root / "claims.json").write_text("[]")
    (note,) = write_archive([root], tmp_path / "b.tar.xz").notes
    assert note.startswith(f"left out: {root / 'claims.json'}: ")


# The command.


@pytest.mark.slow
def test_a_report_from_an_archive_has_the_tables_of_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], no_figures: None
) -> None:
    from bench.report.build import build

    root = write_synthetic(tmp_path / "quick")
    build(root)
    file = tmp_path / "passed on" / "quick.tar.xz"
    assert call(capsys, "--suite", "quick", "--results", tmp_path, "--archive", file)[0] == 0
    for _ in range(2):  # again where it is unpacked already
        code, out, err = call(capsys, "--results", file, "--report")
        assert (code, err) == (0, "") and str(tmp_path / "passed on" / "quick" / "report.html") in out
    for name in ("table.md", "table.csv", "claims.md", "claims.csv", "paper.md", "paper.csv", "records.csv"):
        assert (file.parent / "quick" / name).read_text() == (root / name).read_text(), name


def test_the_state_of_an_archive(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, *_ = runs(tmp_path, seeds=[0, 1])
    (records.run_folder(root, first.run_id) / "samples.json").unlink()
    write_stage(root, second, "samples", [], FACTS, error="no space")
    write_archive([root], tmp_path / "a.tar.xz")
    code, out, err = call(capsys, "--results", tmp_path / "a.tar.xz", "--status")
    assert (code, err) == (1, "") and out.splitlines()[-1] == "1 missing, 1 failed, 2 ok"
    assert f"missing  {first.run_id}\n" in out and f"failed   {second.run_id}  no space\n" in out
    path = records.run_folder(root, runs(tmp_path, seeds=[1])[0].run_id) / "train.json"
    write_json(path, read_json(path) | {"fingerprint": "of before"})
    write_archive([root], tmp_path / "b.tar.xz")
    code, out, _ = call(capsys, "--results", tmp_path / "b.tar.xz", "--status")
    assert f"stale    {path.parent.name}  train: measured under other settings\n" in out
    code, out, _ = call(capsys, "--results", tmp_path / "a.tar.xz", "--dry-run")
    assert code == 0 and out.splitlines()[-1] == "0 of 4 runs would start: an archive is only read"


def test_where_an_archive_cannot_be_unpacked_is_one_line(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = shutil.copy(made / "a.tar.xz", tmp_path)
    (tmp_path / "a").write_text("mine")
    code, out, err = call(capsys, "--results", file, "--report")
    assert (code, out) == (2, "") and err.count("\n") == 1 and f"{tmp_path / 'a'}: a file" in err
    assert (tmp_path / "a").read_text() == "mine"
    (tmp_path / "a").unlink()
    monkeypatch.setattr("os.access", lambda *_: False)  # as on a read-only file system
    code, out, err = call(capsys, "--results", file, "--report")
    assert (code, out) == (2, "") and err.count("\n") == 1 and "cannot be written" in err


def test_a_folder_of_other_records_is_not_written_into(root: Path, tmp_path: Path) -> None:
    write_archive([root], tmp_path / "a.tar.xz")
    unpack(tmp_path / "a.tar.xz", tmp_path / "a")
    run = runs(tmp_path)[0]
    complete(tmp_path / "a", run, 3.0)
    with pytest.raises(UsageError, match="move the folder away"):
        unpack(tmp_path / "a.tar.xz", tmp_path / "a")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--results", "{file}"], "an archive is for --report, --status, --dry-run and --archive"),
        (["--results", "{file}", "--status", "--seeds", "0"], "an archive is read whole; --seeds"),
        (["--results", "{file}", "--report", "--set", "training.steps=3"], "an archive is read whole; --set"),
        (["--results", "{file}", "--archive", "b.tar"], "b.tar: expected a name that ends in .tar.xz"),
        (["--results", "{file}", "--archive", "{file}/b.tar.xz"], "not the name of a file in a folder"),
        (["--results", "none", "--archive", "b.tar.xz"], "there are no records in none/quick"),
        (["--results", "{file}", "--archive", "b.tar.xz", "--merge", "none"], "there are no records in none"),
        (["--merge", "{file}"], "needs --archive FILE.tar.xz"),
    ],
)
def test_what_an_archive_cannot_give_is_one_line(
    made: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, *(text.format(file=made / "a.tar.xz") for text in arguments))
    assert (code, out) == (2, "") and err.count("\n") == 1 and message in err


def test_the_name_of_the_folder_beside() -> None:
    assert archive.beside(Path("a/toys.tar.xz")) == Path("a/toys")
    assert archive.beside(Path("a/toys.xz")) == Path("a/toys.xz-report")
