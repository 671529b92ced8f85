"""Training items are sums of chunks that (seed, epoch, index) alone decide; whole tracks are whole; bad corpora are named."""

import pickle
import sys

import numpy as np
import pytest
import soundfile
import torch
from music_corpus import SOURCES, write_corpus, write_track
from torch.utils.data import DataLoader

from asteroid_bsrnn import data
from asteroid_bsrnn.common.errors import AudioError, UserError
from asteroid_bsrnn.data import MUSDB18HQ, MUSDB18HQTracks
from asteroid_bsrnn.data.music.activity import write_segments
from asteroid_bsrnn.data.music.layout import check_corpus
from asteroid_bsrnn.data.music.musdb import MUSDB18HQ_CORPUS, VALIDATION_TRACKS

SEGMENT = 0.1
LENGTH = 4410
PLAIN = {"segment": SEGMENT, "n_items": 20, "valid_tracks": ["Valid A"], "augmentations": (), "peak_normalise": False}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "musdb18hq")


@pytest.fixture(scope="module")
def lists(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lists")
    tracks = MUSDB18HQ_CORPUS.tracks(corpus, "train", valid_tracks=PLAIN["valid_tracks"])
    write_segments(corpus, tracks, SOURCES, folder, window=0.2)
    return folder


def all_sources(corpus, **options):
    return MUSDB18HQ(corpus, targets=SOURCES, **{**PLAIN, **options})


def locate(corpus, chunk, source):
    """Track and first sample of a chunk of a stem, found by its content."""
    for folder in sorted((corpus / "train").iterdir()):
        audio = soundfile.read(folder / f"{source}.wav", dtype="float32")[0].T
        for start in np.flatnonzero(audio[0, : audio.shape[1] - LENGTH + 1] == chunk[0, 0]):
            if np.array_equal(audio[:, start : start + LENGTH], chunk):
                return folder.name, int(start)
    raise AssertionError(f"this is no chunk of any {source}")


def places(corpus, dataset, items):
    return [
        tuple(locate(corpus, stem.numpy(), source) for stem, source in zip(dataset[item][1], SOURCES)) for item in items
    ]


def test_registered():
    assert data.get("MUSDB18HQ") is MUSDB18HQ and data.get("musdb18hqtracks") is MUSDB18HQTracks


@pytest.mark.parametrize("with_lists", [True, False])
def test_mixture_is_the_sum_of_its_stems(corpus, lists, with_lists):
    dataset = all_sources(
        corpus, lists=lists if with_lists else None, augmentations=("rescale_db", "silent_source", "channel_swap")
    )
    for item in range(20):
        mixture, sources = dataset[item]
        assert (
            mixture.shape == (2, LENGTH)
            and sources.shape == (4, 2, LENGTH)
            and mixture.dtype == sources.dtype == torch.float32
        )
        assert torch.allclose(mixture, sources.sum(0), atol=1e-6)


def test_targets_are_the_stems_of_their_name(corpus):
    every = all_sources(corpus, pairing="fresh")
    some = MUSDB18HQ(corpus, targets=("other", "bass"), pairing="fresh", **PLAIN)
    for item in range(5):
        assert torch.equal(some[item][0], every[item][0])
        assert torch.equal(some[item][1], every[item][1][[3, 1]])


def test_items_do_not_share_memory(corpus):
    dataset = all_sources(corpus)
    first = dataset[0][1].clone(), dataset[0][1]
    dataset[1]
    assert torch.equal(*first)


def test_fixed_pairing_keeps_segments_over_epochs(corpus, lists):
    """The published set: same four rows at every epoch, another offset; rows are 6 s windows (0.2 s here)."""
    dataset = all_sources(corpus, lists=lists)
    first, second = places(corpus, dataset, [(0, 3), (0, 4), (0, 5)]), places(corpus, dataset, [(1, 3), (1, 4), (1, 5)])
    assert first != second
    tracks = [[[name for name, _ in item] for item in epoch] for epoch in (first, second)]
    assert tracks[0] == tracks[1]
    for item, row in zip(first, (3, 4, 5)):
        for (name, start), (_, paths, begins, ends), order in zip(item, dataset.rows, dataset.order):
            k = order[row % len(order)]
            assert f"/{name}/" in paths[k][0] and begins[k] <= start <= ends[k] - LENGTH


def test_fresh_pairing_draws_rows_anew(corpus, lists):
    dataset = all_sources(corpus, lists=lists, pairing="fresh")
    drawn = places(corpus, dataset, [(epoch, 3) for epoch in range(30)])
    assert len({tuple(name for name, _ in item) for item in drawn}) > 6  # of 81 combinations
    for s in range(4):
        assert {item[s][0] for item in drawn} == {"Song 0", "Song 1", "Song 2"}


def test_without_lists_any_sample_may_begin(corpus):
    dataset = all_sources(corpus, pairing="fresh", segment=30000 / 44100)
    assert {len(set(names)) for names, *_ in dataset.rows} == {3}
    starts = []
    for item in range(20):
        _, sources = dataset[item]
        audio = soundfile.read(corpus / "train" / "Song 2" / "vocals.wav", dtype="float32")[0].T
        found = np.flatnonzero(audio[0] == float(sources[0, 0, 0]))
        starts += [k for k in found if np.array_equal(audio[:, k : k + 30000], sources[0])]
    assert len(set(starts)) > 3 and max(starts) <= 20000


def test_chunk_of_the_whole_row(corpus):
    """A row that is exactly as long as an item is used whole, and without `random_chunk` so is every row's start."""
    dataset = all_sources(corpus, n_tracks=1, segment=30000 / 44100)
    audio = np.stack([soundfile.read(corpus / "train" / "Song 0" / f"{s}.wav", dtype="float32")[0].T for s in SOURCES])
    assert np.array_equal(dataset[7][1].numpy(), audio)
    still = all_sources(corpus, n_tracks=1, random_chunk=False)
    assert np.array_equal(still[7][1].numpy(), audio[..., :LENGTH])


def test_peak_normalisation(corpus):
    loud = [{"rescale": {"low": 7.0, "high": 9.0}}]
    plain = MUSDB18HQ(corpus, **{**PLAIN, "augmentations": loud})
    normal = MUSDB18HQ(corpus, **{**PLAIN, "augmentations": loud, "peak_normalise": True})
    for item in range(5):
        (mixture, sources), (mixture_n, sources_n) = plain[item], normal[item]
        peak = max(mixture.abs().max(), sources.abs().max())
        assert peak > 1
        assert torch.allclose(mixture_n, mixture / peak, atol=1e-6) and torch.allclose(
            sources_n, sources / peak, atol=1e-6
        )


def test_silent_target_mixture_is_the_rest(corpus):
    always = MUSDB18HQ(corpus, targets=("bass",), **{**PLAIN, "augmentations": [{"silent_target": {"p": 1.0}}]})
    every = all_sources(corpus)
    mixture, sources = always[2]
    assert not sources.any() and torch.allclose(mixture, every[2][1][[0, 2, 3]].sum(0), atol=1e-6)
    with pytest.raises(ValueError, match="single target"):
        all_sources(corpus, augmentations=["silent_target"])


def test_draws_depend_on_seed_epoch_and_index_alone(corpus, lists):
    options = {"lists": lists, "augmentations": ("rescale_db", "silent_source"), "pairing": "fresh"}
    dataset, again = all_sources(corpus, **options), all_sources(corpus, **options)
    reference = {(epoch, k): dataset[epoch, k][0] for epoch in (0, 1) for k in range(6)}
    np.random.seed(1), torch.manual_seed(1)
    for item in reversed(list(reference)):
        assert torch.equal(again[item][0], reference[item])
    assert torch.equal(dataset[4][0], reference[0, 4])
    assert len({float(mixture.sum()) for mixture in reference.values()}) == 12
    assert not torch.equal(all_sources(corpus, seed=43, **options)[0][0], reference[0, 0])


def test_pickled_data_set_gives_the_same_items(corpus, lists):
    """What a spawned worker receives."""
    dataset = all_sources(corpus, lists=lists, augmentations=("rescale_db",))
    expected = dataset[1, 2]
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[1, 2][0], expected[0]) and torch.equal(copy[1, 2][1], expected[1])


@pytest.mark.parametrize("n_workers", [1, 2])
def test_workers_change_nothing(corpus, lists, n_workers):
    dataset = all_sources(corpus, lists=lists, augmentations=("rescale_db", "silent_source"))
    batches = list(DataLoader(dataset, batch_size=4, num_workers=n_workers))
    assert torch.equal(torch.cat([mixture for mixture, _ in batches]), torch.stack([dataset[k][0] for k in range(20)]))
    assert torch.equal(torch.cat([sources for _, sources in batches]), torch.stack([dataset[k][1] for k in range(20)]))


def test_ends_like_a_list(corpus):
    dataset = MUSDB18HQ(corpus, **PLAIN)
    assert len(dataset) == 20
    with pytest.raises(IndexError):
        dataset[20]


@pytest.mark.parametrize(
    "split, names", [("valid", ["Valid A"]), ("test", ["Test A"]), ("train", ["Song 0", "Song 1", "Song 2"])]
)
def test_whole_tracks(corpus, split, names):
    dataset = MUSDB18HQTracks(corpus, split=split, targets=("drums", "vocals"), valid_tracks=["Valid A"])
    assert dataset.names == names and len(dataset) == len(names)
    folder = corpus / ("test" if split == "test" else "train") / names[0]
    audio = {s: soundfile.read(folder / f"{s}.wav", dtype="float32")[0].T for s in SOURCES}
    mixture, sources = dataset[0]
    assert np.array_equal(sources.numpy(), np.stack([audio["drums"], audio["vocals"]]))
    assert np.allclose(mixture.numpy(), sum(audio.values()), atol=1e-6)


def test_whole_tracks_limited(corpus):
    assert MUSDB18HQTracks(corpus, split="train", valid_tracks=["Valid A"], n_tracks=2).names == ["Song 0", "Song 1"]


def test_licence_is_complete(corpus):
    """Asteroid's sharing tools read these keys; the host's own MUSDB18 set has an empty licence and fails there."""
    for dataset in (MUSDB18HQ(corpus, **PLAIN), MUSDB18HQTracks(corpus, valid_tracks=["Valid A"])):
        infos = dataset.get_infos()
        assert (
            infos["dataset"] == "MUSDB18-HQ"
            and infos["task"]
            and dataset.dataset_name == "MUSDB18HQ"
            and dataset.sample_rate == 44100
        )
        for licence in infos["licenses"]:
            assert set(licence) == {
                "title",
                "title_link",
                "author",
                "author_link",
                "license",
                "license_link",
                "non_commercial",
                "citation",
            }
            assert all(licence.values())


def test_validation_split_is_musdbs():
    import importlib.util
    from pathlib import Path

    import yaml

    spec = importlib.util.find_spec("musdb")
    if spec is None:
        pytest.skip("musdb is not installed")
    listed = yaml.safe_load((Path(spec.origin).parent / "configs" / "mus.yaml").read_text())["validation_tracks"]
    assert tuple(listed) == VALIDATION_TRACKS and len(set(listed)) == 14


def test_validation_tracks_leave_training(tmp_path):
    for name in ("Song. With. Dots", *VALIDATION_TRACKS[:2]):
        write_track(tmp_path / "train" / name, 5000, 0)
    (tmp_path / "train" / "stray.txt").write_text("no track")
    (tmp_path / "train" / ".hidden").mkdir()
    assert [track.name for track in MUSDB18HQ_CORPUS.tracks(tmp_path, "train")] == ["Song. With. Dots"]
    assert [track.name for track in MUSDB18HQ_CORPUS.tracks(tmp_path, "valid")] == sorted(VALIDATION_TRACKS[:2])


def test_own_validation_folder(tmp_path):
    for split in ("train", "valid", "test"):
        write_track(tmp_path / split / f"{split} song", 5000, 0)
    write_track(tmp_path / "train" / VALIDATION_TRACKS[0], 5000, 0)
    assert [track.name for track in MUSDB18HQ_CORPUS.tracks(tmp_path, "train")] == [VALIDATION_TRACKS[0], "train song"]
    assert [track.name for track in MUSDB18HQ_CORPUS.tracks(tmp_path, "valid")] == ["valid song"]
    assert check_corpus(tmp_path) == {"train": 2, "valid": 1, "test": 1}


def _replace(path, frames=40000, channels=2, rate=44100, value=0.0, subtype="PCM_16"):
    soundfile.write(path, np.full((frames, channels), value), rate, subtype=subtype)


SPOILED = {
    "is missing": lambda path: path.unlink(),
    "is empty": lambda path: path.write_bytes(b""),
    "is not a WAV file": lambda path: path.write_text("these are words"),
    "is truncated": lambda path: path.write_bytes(path.read_bytes()[:-50]),
    "has 39999 samples and vocals.wav 40000": lambda path: _replace(path, frames=39999),
    "has a sample rate of 48000 Hz; 44100 Hz was expected": lambda path: _replace(path, rate=48000),
    "has 1 channel; 2 were expected": lambda path: _replace(path, channels=1),
}


@pytest.mark.parametrize("words", SPOILED)
def test_spoiled_stems_are_named(tmp_path, words):
    root = write_corpus(tmp_path / "corpus")
    stem = root / "train" / "Song 1" / "drums.wav"
    SPOILED[words](stem)
    for use in (lambda: MUSDB18HQ(root, **PLAIN), lambda: check_corpus(root, valid_tracks=["Valid A"])):
        with pytest.raises(AudioError, match=words) as caught:
            use()
        assert caught.value.path == str(stem) and "\n" not in str(caught.value)


def test_spoiled_mixture_is_named(tmp_path):
    root = write_corpus(tmp_path / "corpus")
    _replace(root / "test" / "Test A" / "mixture.wav", frames=10)
    with pytest.raises(AudioError, match="mixture.wav: has 10 samples"):
        check_corpus(root, valid_tracks=["Valid A"])


def test_nan_is_found_when_the_corpus_is_checked_and_when_it_is_read(tmp_path):
    root = write_corpus(tmp_path / "corpus")
    stem = root / "train" / "Song 1" / "drums.wav"
    _replace(stem, value=np.nan, subtype="FLOAT")
    with pytest.raises(AudioError, match="drums.wav: holds NaN"):
        check_corpus(root, valid_tracks=["Valid A"])
    with pytest.raises(AudioError, match="drums.wav: holds NaN"):
        for item in range(20):
            MUSDB18HQ(root, pairing="fresh", **PLAIN)[item]


def test_file_that_vanishes_later_is_named(tmp_path):
    root = write_corpus(tmp_path / "corpus", lengths=(30000,))
    dataset = MUSDB18HQ(root, **PLAIN)
    (root / "train" / "Song 0" / "other.wav").unlink()
    with pytest.raises(AudioError, match="other.wav"):
        dataset[0]


@pytest.mark.skipif(
    sys.platform == "win32" or not hasattr(__import__("os"), "geteuid"), reason="needs POSIX permissions"
)
def test_unreadable_folder(tmp_path):
    import os

    root = write_corpus(tmp_path / "corpus")
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (root / "train").chmod(0)
    try:
        with pytest.raises(UserError, match="train cannot be read"):
            check_corpus(root)
    finally:
        (root / "train").chmod(0o755)


def test_file_in_place_of_a_folder(tmp_path):
    (tmp_path / "train").write_text("no folder")
    with pytest.raises(UserError, match="train cannot be read"):
        check_corpus(tmp_path)


def test_bad_corpora_and_options(corpus, lists, tmp_path):
    with pytest.raises(UserError, match="train is missing"):
        MUSDB18HQ(tmp_path / "nowhere", **PLAIN)
    with pytest.raises(UserError, match="none of the 14 validation tracks"):
        MUSDB18HQTracks(corpus, split="valid")
    with pytest.raises(ValueError, match="unknown source 'guitar'"):
        MUSDB18HQ(corpus, targets=("guitar",), **PLAIN)
    with pytest.raises(ValueError, match="list of different sources"):
        MUSDB18HQ(corpus, targets="vocals", **PLAIN)
    with pytest.raises(ValueError, match="unknown pairing"):
        MUSDB18HQ(corpus, pairing="random", **PLAIN)
    with pytest.raises(AudioError, match="Song 0/vocals.wav: gives only 30000 samples"):
        MUSDB18HQ(corpus, **{**PLAIN, "segment": 1.0})
    with pytest.raises(AudioError, match="gives only 8820 samples"):
        MUSDB18HQ(corpus, **{**PLAIN, "segment": 0.3}, lists=lists)
    with pytest.raises(UserError, match="lists 'Song 2', which is no training track"):
        MUSDB18HQ(corpus, **{**PLAIN, "valid_tracks": ["Song 2"]}, lists=lists)
