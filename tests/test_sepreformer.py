"""SepReformer: equal to its authors' code, relative positions without their table, auxiliary heads in training alone."""

import pytest
import torch
from golden_speech import FOLDER, assert_golden, assert_loss, golden, part
from helpers import adapter_for
from speech_helpers import voices
from torch import nn

from asteroid_bsrnn import losses
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.losses import MultiStageLoss
from asteroid_bsrnn.losses.multi_stage import best_sum
from asteroid_bsrnn.models import SepReformer
from asteroid_bsrnn.models.base import count_params
from asteroid_bsrnn.models.renaming import renamed
from asteroid_bsrnn.models.sepreformer import attention
from asteroid_bsrnn.models.sepreformer.adapter import _RENAMES, SepReformerAdapter
from asteroid_bsrnn.models.sepreformer.config import SIZES
from asteroid_bsrnn.training.systems import SpeechSystem

needs_golden = pytest.mark.skipif(FOLDER is None, reason="the golden instances are not beside the checkout")
SMALL = {"n_filters": 12, "bn_chan": 8, "n_stages": 2, "n_heads": 2, "max_rel": 9, "local_kernel": 5, "dropout": 0.3}


def small(seed=0, loud=True, **changes):
    """A small model; ``loud`` sets the scales of the residuals, which begin at 1e-5, so that every part is heard."""
    torch.manual_seed(seed)
    model = SepReformer(**{**SMALL, **changes})
    for name, parameter in model.named_parameters():
        if loud and name.endswith("scale"):
            nn.init.uniform_(parameter, 0.4, 0.8)
    return model


@needs_golden
def test_output_and_gradients_of_the_authors_network():
    arrays, settings = golden("sepreformer_a")
    state = part(arrays, "sd")
    assert adapter_for(state).name == "sepreformer-authors"
    assert_golden(SepReformerAdapter().build(state, settings), arrays, lambda key: renamed(key, _RENAMES))


@needs_golden
def test_auxiliary_outputs_of_the_authors_network():
    arrays, settings = golden("sepreformer_a")
    model = SepReformerAdapter().build(part(arrays, "sd"), {**settings, "auxiliary": True})
    with torch.no_grad():
        main, inner = model.stages(arrays["x"])
    assert (main - arrays["y"]).abs().max() <= 1e-5 * arrays["y"].abs().max()
    expected = part(arrays, "aux")
    assert len(inner) == len(expected) == 2
    for index, found in enumerate(inner):
        assert (found - expected[str(index)]).abs().max() <= 1e-5 * expected[str(index)].abs().max()


@needs_golden
def test_checkpoint_file_needs_no_settings():
    arrays, settings = golden("sepreformer_a")
    content = torch.load(FOLDER / "epoch.0003.pth", weights_only=True)
    state = content["model_state_dict"]
    model = SepReformerAdapter().build(state, {})
    with torch.no_grad():
        assert (model(arrays["x"]) - arrays["y"]).abs().max() <= 1e-5
    told = SepReformerAdapter().config(state, settings)
    assert {**SepReformerAdapter().config(state, {}), "dropout": told["dropout"]} == told
    assert SepReformerAdapter().config(state, {"module_audio_enc": {"stride": 2}})["stride"] == 2


@needs_golden
def test_one_split_for_each_stage():
    """The layout of the largest published model, with the shared split's weights in every place: the same function."""
    arrays, settings = golden("sepreformer_a")
    shared, state = "separator.spk_split_block.", {}
    for key, value in part(arrays, "sd").items():
        names = (
            [f"separator.spk_split_blocks.{stage}.{key[len(shared) :]}" for stage in range(3)]
            if key.startswith(shared)
            else [key]
        )
        state.update(dict.fromkeys(names, value))
    model = SepReformerAdapter().build(state, settings)
    assert not model.config.shared_split and len(model.separator.splits) == 3
    with torch.no_grad():
        assert (model(arrays["x"]) - arrays["y"]).abs().max() <= 1e-5
        changed = model.separator.splits[2].norm.bias  # of the coarsest stage alone
        changed += 1
        assert (model(arrays["x"]) - arrays["y"]).abs().max() > 1e-3


def test_each_split_serves_its_own_stage():
    model, seen = small(shared_split=False), {}
    for stage, split in enumerate(model.separator.splits):
        split.register_forward_hook(
            lambda _, inputs, out, stage=stage: seen.setdefault(stage, []).append(inputs[0].shape[1])
        )
    model.separator(torch.randn(2, 16, 8), model.run_part)
    assert seen == {0: [16], 1: [8], 2: [4]}


@needs_golden
def test_a_wrong_weight_or_setting_is_named():
    arrays, settings = golden("sepreformer_a")
    state, adapter = part(arrays, "sd"), SepReformerAdapter()
    with pytest.raises(UserError, match="'separator.extra'"):
        adapter.build({**state, "separator.extra": torch.zeros(1)}, settings)
    with pytest.raises(UserError, match="no weight in the file becomes 'head.contract.bias'"):
        adapter.build({key: value for key, value in state.items() if key != "out_layer.end_conv1x1.2.bias"}, settings)
    with pytest.raises(UserError, match="num_stages|n_stages 3, the weights 2"):
        adapter.build(state, {**settings, "num_stages": 3})


@needs_golden
def test_losses_of_the_authors():
    loss = losses.get("multistageloss")()
    assert_loss(loss.main, "sep_main", 1e-5, 1e-5)
    assert_loss(loss.inner, "sep_aux", 1e-4, 1e-4)


@pytest.mark.parametrize(
    "size, counts",
    [
        ("T", (3711488, 3926528, 3769152)),
        ("S", (4527616, 4786176, 4585280)),
        ("B", (14147840, 14691584, 14377856)),
        ("M", (17307904, 17977344, 17537920)),
        ("L", (59428608, 61022976, 64022528)),
    ],
)
def test_published_sizes(size, counts):
    """Without auxiliary heads, with them, with three speakers."""
    with torch.device("meta"):
        models = [SepReformer(**SIZES[size], **more) for more in ({}, {"auxiliary": True}, {"n_src": 3})]
    assert tuple(sum(p.numel() for p in model.parameters()) for model in models) == counts
    assert count_params(models[1]) == counts[0]


def test_shared_split_of_the_largest_size():
    with torch.device("meta"):
        model = SepReformer(**{**SIZES["L"], "shared_split": True})
    assert count_params(model) == 55222016


def attention_in_words(q, k, v, table):
    """Section by section: every pair of frames has its row of the table."""
    n, reach = q.shape[2], len(table) // 2
    rows = torch.stack(
        [torch.stack([table[max(-reach, min(i - j, reach - 1)) + reach] for j in range(n)]) for i in range(n)]
    )
    scores = (q @ k.mT + torch.einsum("bhie,ije->bhij", q, rows)) / q.shape[-1] ** 0.5
    return scores.softmax(-1) @ v


@pytest.mark.parametrize("n", [1, 2, 5, 12, 31])
@pytest.mark.parametrize("queries", [1, 4, 256])
def test_relative_positions_of_every_pair_of_frames(n, queries, monkeypatch):
    monkeypatch.setattr(attention, "QUERIES", queries)
    torch.manual_seed(n)
    q, k, v, table = torch.randn(2, 3, n, 4), torch.randn(2, 3, n, 4), torch.randn(2, 3, n, 4), torch.randn(14, 4)
    given = [x.requires_grad_() for x in (q, k, v, table)]
    found, expected = attention.relative_attention(*given), attention_in_words(*given)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    weight = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad((found * weight).sum(), given), torch.autograd.grad((expected * weight).sum(), given)
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_speakers_attend_to_one_another_within_their_frame():
    torch.manual_seed(0)
    layer = attention.Attention(8, 2, 0.0).eval()
    x = torch.randn(6, 5, 8)  # two items of three speakers
    q, k, v = (part.transpose(1, 2) for part in layer._projected(x.unflatten(0, (2, 3)).transpose(1, 2).flatten(0, 1)))
    expected = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
    expected = layer._finished(expected).unflatten(0, (2, 5)).transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(layer.over_speakers(x, 3), expected)


@pytest.mark.parametrize("kernel, stride", [(16, 4), (10, 4), (7, 7)])
def test_every_length_from_one_sample(kernel, stride):
    model = small(kernel_size=kernel, stride=stride).eval()
    with torch.no_grad():
        for length in (1, 5, 9, 16, 17, 40, 64, 603):
            out = model(torch.randn(2, length))
            assert out.shape == (2, 2, length) and out.isfinite().all()


def test_input_is_as_if_zeros_filled_the_last_frame():
    model, wav = small().eval(), torch.randn(1, 603)
    with torch.no_grad():
        torch.testing.assert_close(model(wav), model(nn.functional.pad(wav, (0, 1)))[..., :603])
        torch.testing.assert_close(model(wav[:, :5]), model(nn.functional.pad(wav[:, :5], (0, 11)))[..., :5])


def test_silent_items_give_zeros_and_leave_the_others_alone():
    model, wav = small().eval(), torch.randn(2, 400)
    wav[0] = 0
    with torch.no_grad():
        out = model(wav)
        assert not out[0].any()
        torch.testing.assert_close(out[1:], model(wav[1:]))


def test_auxiliary_estimates_in_training_alone():
    model, wav = small(auxiliary=True), torch.randn(2, 400)
    main, inner = model.estimates(wav)
    assert main.shape == (2, 2, 400) and [x.shape for x in inner] == [(2, 2, 400)] * 2
    model.auxiliary.register_forward_pre_hook(lambda *_: pytest.fail("computed for nothing"))
    for head in model.auxiliary:
        head.register_forward_pre_hook(lambda *_: pytest.fail("computed for nothing"))
    assert torch.is_tensor(model(wav)) and torch.is_tensor(model.eval().estimates(wav))
    assert torch.is_tensor(small().estimates(wav))


def test_every_parameter_learns_from_the_multi_stage_loss():
    model, sources = small(auxiliary=True), voices(length=1200)
    system = SpeechSystem(model, None, MultiStageLoss(), None)
    system.common_step((sources.sum(1), sources), 0).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    scores = SpeechSystem(model.eval(), None, MultiStageLoss(), None).score(sources[0].sum(0), sources[0])
    assert set(scores) == {"val_loss", "val_si_sdr"}


def test_share_of_the_inner_stages_over_the_epochs():
    loss = MultiStageLoss()
    shares = {}
    for epoch in (1, 100, 101, 105, 106, 111):
        loss.set_epoch(epoch)
        shares[epoch] = loss.share
    assert shares == {1: 0.4, 100: 0.4, 101: 0.4 * 0.8, 105: 0.4 * 0.8, 106: 0.4 * 0.8**2, 111: 0.4 * 0.8**3}
    sources, estimate, stage = voices(length=1000), torch.randn(2, 2, 1000), torch.randn(2, 2, 1000)
    expected = ((1 - loss.share) * loss.main(estimate, sources) + loss.share * loss.inner(stage, sources)) / 2
    torch.testing.assert_close(loss((estimate, [stage]), sources), expected)
    torch.testing.assert_close(loss(estimate, sources), loss.main(estimate, sources) / 2)


def test_training_tells_the_loss_its_epoch():
    loss = MultiStageLoss()
    SpeechSystem(small(), None, loss, None).begin_epoch(101)
    assert loss.share == pytest.approx(0.32)


def test_sources_beyond_the_floor_do_not_pull():
    sources = voices(length=1000)
    good = (sources * (1 + 1e-3 * torch.randn_like(sources))).requires_grad_()
    MultiStageLoss()(good, sources).backward()
    assert not good.grad.any()
    near = (sources + 0.1 * torch.randn_like(sources)).requires_grad_()
    MultiStageLoss()(near, sources).backward()
    assert near.grad.any()


def test_best_assignment_of_three():
    pairwise = torch.tensor([[[5.0, 1, 9], [1, 5, 9], [9, 9, 2]]])
    assert best_sum(pairwise) == 4.0


def test_recomputation_changes_neither_gradients_nor_statistics():
    results = []
    for recompute in (False, True):
        model = small(auxiliary=True)
        model.activation_checkpointing = recompute
        torch.manual_seed(1)
        main, inner = model.train().estimates(torch.linspace(-1, 1, 800).sin().reshape(2, 400))
        (main.square().sum() + sum(x.square().sum() for x in inner)).backward()
        results.append([p.grad for p in model.parameters()] + [b.clone() for b in model.buffers()])
    for plain, recomputed in zip(*results):
        torch.testing.assert_close(plain, recomputed, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"n_heads": 3}, "bn_chan 8 is not divisible by n_heads 3"),
        ({"local_kernel": 4}, "local_kernel must be odd"),
        ({"n_stages": 0}, "n_stages must be a whole number"),
        ({"dropout": 1.0}, "dropout must be in"),
        ({"stride": 17}, "stride 17 leaves gaps"),
        ({"auxiliary": 1}, "auxiliary must be true or false"),
    ],
)
def test_arguments_that_cannot_be_meant(change, said):
    with pytest.raises(ValueError, match=said):
        small(**change)


def test_misspelt_arguments_are_refused():
    with pytest.raises(TypeError, match="n_filter"):
        SepReformer(n_filter=12)
