"""What cannot work is refused before hours are spent; what only looks odd works."""

import unicodedata

import pandas as pd
import pytest
from helpers import ROOT
from music_corpus import SOURCES, write_corpus, write_track
from report_folders import music

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.data.music.activity import read_segments, write_segments
from asteroid_bsrnn.data.music.musdb import MUSDB18HQ_CORPUS
from asteroid_bsrnn.data.music.music_section import MusicData
from asteroid_bsrnn.recipe.command_line import recipe_conf, recipe_parser
from asteroid_bsrnn.recipe.configuration import load_conf
from asteroid_bsrnn.recipe.music_stages import evaluate, train
from asteroid_bsrnn.recipe.preflight import preflight
from asteroid_bsrnn.recipe.variants import variant_names
from asteroid_bsrnn.report.experiments import read_experiment


@pytest.mark.parametrize("recipe, change, said", [
    ("musdb18hq", "task.sources=[vocals,vocal]", "task.sources: unknown source 'vocal'"),
    ("musdb18hq", "task.sources=[vocals,vocals]", "task.sources: targets must be a list of different sources"),
    ("musdb18hq", "task.sources=[]", "task.sources: targets must be a list"),
    ("musdb18hq", "task.groups=[]", "task.groups must hold each of"),
    ("musdb18hq", "inference.segment=0", "inference: segment must be more than 0"),
    ("musdb18hq", "inference.segment=null", "inference.segment must be a number, not None"),
    ("musdb18hq", "inference.batch=0", "inference.batch must be 1 or more"),
    ("musdb18hq", "inference.hop=long", "inference.hop must be a number or null, not 'long'"),
    ("musdb18hq", "data.n_train_tracks=-1", "data.n_train_tracks must be 1 or more, or null for all, not -1"),
    ("musdb18hq", "data.n_test_tracks=few", "data.n_test_tracks must be a whole number or null, not 'few'"),
    ("musdb18hq", "data.valid_tracks=Actions - One Minute Smile", "data.valid_tracks must be a list or null, not 'Actions"),
    ("musdb18hq", "data.valid_tracks=[]", "data.valid_tracks is empty"),
    ("musdb18hq", "data.valid_tracks=[1]", "data.valid_tracks must be a list"),
    ("musdb18hq", "data.random_chunk=null", "data.random_chunk must be true or false, not None"),
    ("musdb18hq", "energy.pue=.nan", "energy.pue must be a number, not nan"),
    ("musdb18hq", "energy.pue=.inf", "energy.pue must be a number from 1 on"),
    ("musdb18hq", "energy.flush_seconds=null", "energy.flush_seconds must be a number"),
    ("musdb18hq", "training.epochs=null", "training.epochs must be a whole number, not None"),
    ("musdb18hq", "training.ema=high", "training.ema must be a number or null, not 'high'"),
    ("musdb18hq", "training.devices=2.5", "training.devices must be a whole number or a text, not 2.5"),
    ("musdb18hq", "optim.lr=.nan", "optim.lr must be a number, not nan"),
    ("musdb18hq", "optim.betas=[0.9,high]", "optim.betas must be a list"),
    ("musdb18hq", "loader.pin_memory=maybe", "loader.pin_memory must be true or false or null"),
    ("libri2mix", "data.n_train=0", "data.n_train must be 1 or more"),
    ("libri2mix", "data.noise_dir=3", "data.noise_dir must be a text or null, not 3"),
    ("wsj0-2mix", "data.segment=.nan", "data.segment must be a number, not nan"),
])  # fmt: skip
def test_refused_by_every_stage(recipe, change, said, tmp_path):
    args = recipe_parser("").parse_args(["--exp_dir", str(tmp_path / "exp"), "--set", change])
    with pytest.raises(UserError) as refusal:
        recipe_conf(args, ROOT / "recipes" / recipe)
    assert said in str(refusal.value)
    assert not (tmp_path / "exp").exists()


@pytest.mark.parametrize("recipe", ["musdb18hq", "libri2mix", "wsj0-2mix"])
def test_every_variant_passes(recipe):
    folder = ROOT / "recipes" / recipe
    for variant in variant_names(folder):
        preflight(load_conf(folder, variant), folder)


def test_evaluation_refuses_before_it_separates(tmp_path):
    (tmp_path / "conf.yml").write_text("inference: {segment: 0.0}\n")
    with pytest.raises(UserError, match="--hop is a number of seconds, not 'long'"):
        evaluate(ROOT / "recipes" / "musdb18hq", ["--exp_dir", str(tmp_path), "--hop", "long"])
    with pytest.raises(UserError, match="inference: segment must be more than 0"):
        evaluate(ROOT / "recipes" / "musdb18hq", ["--exp_dir", str(tmp_path)])


def test_a_model_that_does_not_take_a_value_is_named(tmp_path):
    options = [
        "--exp_dir",
        str(tmp_path / "exp"),
        "--set",
        "model.model_name=ConvTasNet",
        "model.n_filters=many",
        "task.simo=true",
    ]
    with pytest.raises(UserError, match="section model: ConvTasNet does not take these values"):
        train(ROOT / "recipes" / "musdb18hq", options)
    assert not (tmp_path / "exp").exists()


# -- names of tracks


def own(root, **section):
    return MusicData(
        root=str(root), lists=str(root.parent / "lists"), segment=0.1, sad_window=0.2, n_items=4, **section
    )


def test_validation_tracks_must_be_there(tmp_path):
    data = own(write_corpus(tmp_path / "corpus"), valid_tracks=["Valid A", "Valid B"])
    for use in (data.prepare, data.index, data.valid_set):
        with pytest.raises(
            UserError, match="data.valid_tracks names 'Valid B', which is no track in .*did you mean 'Valid A'"
        ):
            use()


def test_both_forms_of_an_accent_are_one_name(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "Señor Sé") for form in ("NFC", "NFD"))
    for number, (there, given) in enumerate([(composed, decomposed), (decomposed, composed)]):
        data = own(write_corpus(tmp_path / f"{number}" / "corpus", valid=(there,)), valid_tracks=[given])
        assert data.valid_set().names == [composed]
        data.index()
        assert {name for names, *_ in data.train_set().rows for name in names} == {
            "Song 0",
            "Song 1",
            "Song 2",
        }
    with pytest.raises(UserError, match="names the track 'Señor Sé' twice"):
        own(tmp_path, valid_tracks=[composed, decomposed])


@pytest.mark.parametrize("name", ["NA", "nan", "null", "None", "1e5", "-"])
def test_a_track_may_be_called_anything(name, tmp_path):
    write_track(tmp_path / "train" / name, 20000, 0)
    (path, *_) = write_segments(
        tmp_path, MUSDB18HQ_CORPUS.tracks(tmp_path, "train"), SOURCES, tmp_path / "lists", window=0.2
    )
    assert set(read_segments(path)[0]) == {name}
    exp = music(tmp_path / "exp", "base")
    table = pd.read_csv(exp / "all_metrics.csv", converters={"track": str})
    table["track"] = table["track"].replace(table["track"][0], name)
    table.to_csv(exp / "all_metrics.csv", index=False)
    scores = read_experiment(exp).scores.rows
    assert name in set(scores["track"]) and scores["track"].notna().all() and scores["usdr"].dtype == float


def test_segment_lists_belong_to_their_corpus_not_to_its_name(tmp_path):
    """Another root; the same root with other lengths; both in stage 1 and in training."""
    data = own(write_corpus(tmp_path / "corpus"), valid_tracks=["Valid A"])
    data.index()
    assert len(data.train_set()) == 4
    other = own(write_corpus(tmp_path / "other" / "corpus"), valid_tracks=["Valid A"])
    elsewhere = MusicData(**{**vars(other), "lists": data.lists})
    for use in (elsewhere.index, elsewhere.train_set):
        with pytest.raises(
            UserError, match=r"other settings or tracks \(root; root .*corpus\): remove it .*data.lists"
        ):
            use()
    for path in (tmp_path / "corpus" / "train" / "Song 1").iterdir():
        path.unlink()
    (tmp_path / "corpus" / "train" / "Song 1").rmdir()
    write_track(tmp_path / "corpus" / "train" / "Song 1", 40001, 1)
    for use in (data.index, data.train_set):
        with pytest.raises(UserError, match="lengths of tracks"):
            use()
