"""Training that starts from given weights: all of them or those that fit, frozen ones, rates by pattern."""

import json
import math

import pytest
import torch
from engine_toys import Toy, conf, same_weights, toy, train
from helpers import ROOT
from music_corpus import SOURCES, write_corpus

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.config import build_model, load_conf
from asteroid_bsrnn.data import MUSDB18HQ, MUSDB18HQTracks
from asteroid_bsrnn.engine import MusicSystem
from asteroid_bsrnn.evaluation.music_tracks import score_present
from asteroid_bsrnn.models import BSRNN, StemSeparator, register_model
from asteroid_bsrnn.recipe.tuning import variant_of, write_variant
from asteroid_bsrnn.training.starting import freeze, parameter_groups, start_from
from asteroid_bsrnn.weights import load_model

register_model(Toy)
TINY = dict(feature_dim=8, n_repeats=1, mask_ratio=1)


@pytest.fixture
def given(tmp_path):
    """File of a toy with weights of its own."""
    torch.manual_seed(7)
    torch.save(Toy().serialize(), tmp_path / "given.pth")
    return tmp_path / "given.pth"


def saved(model, path):
    torch.save(model.serialize(), path)
    return str(path)


def test_a_run_starts_from_the_weights_and_does_not_need_them_to_go_on(tmp_path, given, capsys):
    wanted = load_model(str(given)).state_dict()
    still = conf(epochs=1, init_from=str(given))
    still["optim"]["lr"] = 0.0
    _, weights = train(tmp_path / "still", still)
    assert same_weights(weights, wanted), "at a learning rate of 0 the weights stay those of the file"
    record = json.loads((tmp_path / "still" / "run.json").read_text())
    assert (
        record["init"]["source"] == str(given) and record["init"]["taken"] == len(wanted) and not record["init"]["left"]
    )
    assert f"starting from {given}: {len(wanted)} tensors taken" in capsys.readouterr().out

    _, straight = train(tmp_path / "straight", conf(epochs=2, init_from=str(given)))
    train(tmp_path / "parts", conf(epochs=1, init_from=str(given)))
    given.unlink()
    _, parts = train(tmp_path / "parts", conf(epochs=2, init_from=str(given)), allow_changes=True)
    assert same_weights(straight, parts)
    assert json.loads((tmp_path / "parts" / "run.json").read_text())["init"]["taken"] == len(wanted)


def test_what_does_not_fit_is_refused_by_name_or_left_as_it_was(given):
    lines, wide = [], Toy(hid_size=6)
    before = {name: value.clone() for name, value in wide.state_dict().items()}
    with pytest.raises(UserError, match=r"training\.strict.*'net\.0\.weight' has the shape \(4, 2, 5\)"):
        start_from(wide, str(given))
    assert same_weights(wide.state_dict(), before), "a refusal changes nothing"
    found = start_from(wide, str(given), strict=False, report=lines.append)
    assert found["taken"] == 1 and found["left"] == 3
    assert torch.equal(wide.net[3].bias, load_model(str(given)).net[3].bias)
    assert torch.equal(wide.net[0].weight, before["net.0.weight"])
    assert "not net.0.weight, net.0.bias, net.3.weight" in lines[-1]
    assert any("hid_size = 4, this run 6" in line for line in lines)
    with pytest.raises(UserError, match="no weight of its Toy fits"):
        start_from(torch.nn.Linear(3, 3), str(given), strict=False)


def test_the_member_for_the_models_sources_is_taken(tmp_path):
    whole = StemSeparator([BSRNN(sources=[name], **TINY) for name in ("vocals", "bass")])
    path = saved(whole, tmp_path / "whole.pth")
    bass = BSRNN(sources=["bass"], **TINY)
    start_from(bass, path)
    assert same_weights(bass.state_dict(), whole.networks[1].state_dict())
    wrapped = StemSeparator([BSRNN(sources=["bass"], **TINY)])
    start_from(wrapped, path)
    assert same_weights(wrapped.networks[0].state_dict(), bass.state_dict())
    with pytest.raises(UserError, match="BSRNN"):
        start_from(BSRNN(sources=["drums"], **TINY), path)


def test_frozen_weights_stay_bit_by_bit_and_the_others_learn(tmp_path, given):
    wanted = load_model(str(given)).state_dict()
    _, weights = train(tmp_path / "run", conf(epochs=1, init_from=str(given), freeze=["net.0.*"]))
    assert torch.equal(weights["net.0.weight"], wanted["net.0.weight"]) and torch.equal(
        weights["net.0.bias"], wanted["net.0.bias"]
    )
    assert not torch.equal(weights["net.3.weight"], wanted["net.3.weight"])
    with pytest.raises(UserError, match=r"training\.freeze: no weight matches 'net\.9\.\*'.*did you mean"):
        freeze(Toy(), ["net.9.*"])
    with pytest.raises(UserError, match="leaves nothing to train"):
        freeze(Toy(), ["*"])


def test_a_factor_of_0_freezes_one_of_1_changes_nothing_and_groups_resume(tmp_path):
    def run(folder, factors, epochs=2, **keywords):
        configuration = conf(epochs=epochs)
        configuration["optim"].update(lr_factors=factors, scheduler="step", step_size=1, gamma=0.5)
        return train(tmp_path / folder, configuration, **keywords)[1]

    first = toy(conf()).state_dict()
    zero, plain = run("zero", {"net.3.*": 0}), run("plain", None)
    assert torch.equal(zero["net.3.weight"], first["net.3.weight"]) and not torch.equal(
        zero["net.0.weight"], first["net.0.weight"]
    )
    assert same_weights(run("one", {"net.3.*": 1.0}), plain)
    slow = run("slow", {"net.3.*": 0.1})
    assert not same_weights(slow, plain)
    run("parts", {"net.3.*": 0.1}, epochs=1)
    assert same_weights(run("parts", {"net.3.*": 0.1}, allow_changes=True), slow)


def test_groups_hold_every_parameter_once_and_refuse_what_cannot_be_meant():
    model = Toy()
    groups = parameter_groups(model.named_parameters(), 0.1, {"*bias": 0.5, "net.3*": 2})
    assert [group["lr"] for group in groups] == [0.1, 0.05, 0.2]
    assert [len(group["params"]) for group in groups] == [1, 2, 1], "the first pattern that matches counts"
    with pytest.raises(UserError, match="no weight matches"):
        parameter_groups(model.named_parameters(), 0.1, {"nothing": 1})
    with pytest.raises(UserError, match="number from 0 on"):
        parameter_groups(model.named_parameters(), 0.1, {"*": "slow"})


@pytest.mark.parametrize("kind", ["one for each", "one for all", "of two kinds"])
def test_the_variant_of_a_model_builds_it_again(tmp_path, kind):
    torch.manual_seed(3)
    model = {
        "one for each": lambda: StemSeparator([BSRNN(sources=[name], **TINY) for name in ("vocals", "drums")]),
        "one for all": lambda: BSRNN(sources=["vocals", "drums"], **TINY),
        "of two kinds": lambda: StemSeparator(
            [BSRNN(sources=["vocals"], **TINY), BSRNN(sources=["drums"], **{**TINY, "feature_dim": 4})]
        ),
    }[kind]().eval()
    path = saved(model, tmp_path / "model.pth")
    assert main(["finetune", path, "-o", str(tmp_path / "mine.yml")]) == 0
    settings = load_conf(ROOT / "recipes" / "musdb18hq", tmp_path / "mine.yml")
    again = build_model(settings).eval()
    members = again.networks if kind == "one for each" else [again]
    for member in members:
        start_from(member, settings["training"]["init_from"])
    wav = torch.randn(1, 2, 9000)
    with torch.no_grad():
        assert torch.equal(again(wav), model(wav))
    with pytest.raises(UserError, match="exists"):
        write_variant(path, tmp_path / "mine.yml")
    with pytest.raises(UserError, match="ends in .yml"):
        write_variant(path, tmp_path / "mine")


def test_the_variant_of_speech_has_no_stems(tmp_path):
    from asteroid_bsrnn.models import AFRCNN

    model = AFRCNN(n_src=2)
    variant = variant_of(model, "somewhere.pth")
    assert variant["model"]["model_name"] == "AFRCNN" and "task" not in variant


# -- stems that a track lacks


@pytest.fixture
def partial(tmp_path):
    """A corpus whose tracks lack stems, and the file that says so."""
    write_corpus(tmp_path / "partial")
    for track, stem in (("train/Song 0", "bass"), ("train/Song 1", "vocals"), ("test/Test A", "drums")):
        (tmp_path / "partial" / track / f"{stem}.wav").unlink()
    file = tmp_path / "partial.yml"
    file.write_text(f"name: partial\nstems: [{', '.join(SOURCES)}]\ncomplete: false\nsplits: {{valid: [Valid A]}}\n")
    return tmp_path / "partial", str(file)


def test_a_stem_is_drawn_from_the_tracks_that_have_it(partial):
    root, file = partial
    plain = {"segment": 0.05, "n_items": 40, "augmentations": [], "peak_normalise": False, "corpus": file}
    fresh = MUSDB18HQ(root, targets=SOURCES, pairing="fresh", **plain)
    assert all(source.any() for index in range(40) for source in fresh[index][1])
    aligned = [MUSDB18HQ(root, targets=SOURCES, **plain)[index] for index in range(40)]
    silent = [not source.any() for _, sources in aligned for source in sources]
    assert any(silent) and not all(silent), "paired as fixed, an item is one song with what it lacks"
    for mixture, sources in aligned:
        torch.testing.assert_close(mixture, sources.sum(0))


class Quarter(torch.nn.Module):
    """Estimates each of four sources as a quarter of the mixture."""

    sample_rate, sources = 44100, SOURCES

    def forward(self, wav):
        return wav[:, None].expand(-1, 4, -1, -1) / 4


def test_a_lacking_stem_has_no_score_and_leaves_those_of_the_others_alone(partial, tmp_path):
    root, file = partial
    tracks = MUSDB18HQTracks(root, split="test", targets=SOURCES, corpus=file)
    lacking = SOURCES.index("drums")
    first = tracks.names.index("Test A")
    mixture, sources = tracks[first]
    assert not sources[lacking].any()
    scores, frames = score_present(mixture.expand(4, -1, -1) / 4, sources, mixture, SOURCES, 44100, complete=False)
    assert all(math.isnan(value) for value in [*scores["scores"]["drums"].values(), *frames["drums"]])
    assert math.isfinite(scores["scores"]["vocals"]["usdr"]) and set(scores["scores"]) == set(SOURCES)
    silent = torch.zeros_like(sources)
    assert all(
        math.isnan(row["usdr"])
        for row in score_present(silent, silent, mixture, SOURCES, 44100, False)[0]["scores"].values()
    )

    system = MusicSystem(
        Quarter(), None, lambda estimates, targets: (estimates - targets).abs().mean(), None, config={}
    )
    everything = system.score(mixture, sources)
    system.complete = False
    there = system.score(mixture, sources)
    assert set(everything) - set(there) == {"val_usdr_drums"}
    named = [value for name, value in there.items() if name.startswith("val_usdr_")]
    assert there["val_usdr"] == pytest.approx(sum(named) / 3) and there["val_usdr"] > everything["val_usdr"] + 10
    assert "val_usdr" not in system.score(mixture, silent)
