"""Deep clustering and Chimera++: sizes, the loss against its definition, k-means, masks, training."""

import pytest
import torch
from asteroid.losses import deep_clustering_loss
from speech_helpers import n_params, small_model, steps_to_halve_own_loss, voices

from asteroid_bsrnn.losses import ClusteringLoss
from asteroid_bsrnn.losses.clustering import affinity_distance
from asteroid_bsrnn.models import DPCL, Chimera
from asteroid_bsrnn.models.spectral.deep_clustering import active_bins
from asteroid_bsrnn.models.spectral.kmeans import kmeans


@pytest.mark.parametrize(
    "cls, kwargs, count",
    [
        (DPCL, {}, 10_629_960),
        (DPCL, {"n_layers": 2, "hid_size": 600}, 18_355_560),
        (Chimera, {}, 32_866_038),
    ],
)
def test_published_sizes(cls, kwargs, count):
    assert n_params(cls(**kwargs)) == count


def unit_vectors(*shape):
    return torch.nn.functional.normalize(torch.randn(*shape), dim=-1)


@pytest.mark.parametrize("n_src, labels", [(2, [0, 1]), (3, [0, 2]), (3, [0, 1, 2]), (4, [3])])
def test_loss_is_its_definition(n_src, labels):
    torch.manual_seed(0)
    v, weights = unit_vectors(2, 30, 5), (torch.rand(2, 30) > 0.3).float()
    classes = torch.tensor(labels)[torch.randint(len(labels), (2, 30))]
    expected = []
    for vectors, label, weight in zip(v, classes, weights):
        y = torch.nn.functional.one_hot(label, n_src).float()
        root = torch.diag(weight.sqrt())
        expected.append(torch.linalg.norm(root @ (vectors @ vectors.T - y @ y.T) @ root) ** 2 / weight.sum())
    torch.testing.assert_close(ClusteringLoss(n_src)(v, classes, weights), torch.stack(expected).mean())


def test_loss_agrees_with_the_host_where_all_labels_occur():
    v, labels = unit_vectors(2, 20, 5), torch.arange(40).reshape(2, 20) % 2
    theirs = deep_clustering_loss(v, labels.reshape(2, 4, 5)).mean()
    torch.testing.assert_close(ClusteringLoss(2)(v, labels), theirs)


def test_loss_is_zero_at_ideal_embeddings_and_ignores_label_order():
    labels = torch.randint(0, 2, (3, 50))
    ideal = torch.nn.functional.one_hot(labels, 4).float()
    distance, total = affinity_distance(ideal, labels, 2)
    torch.testing.assert_close(distance, torch.zeros(3), atol=1e-6, rtol=0)
    assert (total == 50).all()
    v = unit_vectors(3, 50, 4)
    torch.testing.assert_close(ClusteringLoss(2)(v, labels), ClusteringLoss(2)(v, 1 - labels))


@pytest.mark.parametrize("label", [-1, 2])
def test_labels_outside_the_width_are_named(label):
    with pytest.raises(ValueError, match=r"\[0, 2\)"):
        ClusteringLoss(2)(unit_vectors(1, 3, 4), torch.tensor([[0, 1, label]]))


def blobs(batch=3, n_clusters=3, per_cluster=40, dim=4):
    """Well separated clusters and their labels."""
    generator = torch.Generator().manual_seed(1)
    centres = 10 * torch.randn(batch, n_clusters, 1, dim, generator=generator)
    points = centres + 0.1 * torch.randn(batch, n_clusters, per_cluster, dim, generator=generator)
    return points.flatten(1, 2), torch.arange(n_clusters).repeat_interleave(per_cluster)


def test_kmeans_finds_separated_clusters():
    points, truth = blobs()
    labels, centres = kmeans(points, 3)
    for one, middle, found in zip(points, centres, labels):
        groups = [found[truth == k].unique() for k in range(3)]
        assert all(len(group) == 1 for group in groups) and len(torch.cat(groups).unique()) == 3
        torch.testing.assert_close(middle[found[0]], one[truth == 0].mean(0))


def test_kmeans_depends_on_its_seed_alone():
    points = torch.randn(2, 200, 3, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    first = kmeans(points, 4, n_init=1, seed=7)[0]
    torch.manual_seed(2)
    assert torch.equal(kmeans(points, 4, n_init=1, seed=7)[0], first)
    assert torch.equal(kmeans(points[1:], 4, n_init=1, seed=7)[0], first[1:])
    assert not torch.equal(kmeans(points, 4, n_init=1, seed=8)[0], first)


def test_kmeans_ignores_points_without_weight():
    points, truth = blobs(batch=1)
    far = torch.cat([points, 1000 + torch.randn(1, 5, 4)], dim=1)
    weights = (torch.arange(far.shape[1]) < points.shape[1]).unsqueeze(0)
    labels, centres = kmeans(far, 3, weights)
    torch.testing.assert_close(centres, kmeans(points, 3)[1])
    nearest = torch.cdist(far[:, -5:], centres).argmin(-1)
    assert torch.equal(labels[:, -5:], nearest)


def test_kmeans_keeps_the_best_of_its_starts():
    points = torch.randn(1, 300, 2, generator=torch.Generator().manual_seed(3))

    def inertia(n_init):
        labels, centres = kmeans(points, 8, n_init=n_init)
        return (points[0] - centres[0, labels[0]]).square().sum()

    assert inertia(20) < inertia(1)


def test_kmeans_of_equal_points_and_of_more_clusters_than_points():
    labels, centres = kmeans(torch.ones(2, 6, 3), 2)
    assert labels.shape == (2, 6) and centres.isfinite().all()
    labels, centres = kmeans(torch.randn(1, 2, 3), 5)
    assert labels.shape == (1, 2) and centres.isfinite().all()


def test_active_bins_are_within_forty_decibels_of_the_loudest():
    magnitude = torch.tensor([1.0, 0.0101, 0.0099, 0.0]).reshape(1, 2, 2)
    assert active_bins(magnitude).flatten().tolist() == [True, True, False, False]
    assert torch.equal(active_bins(7 * magnitude), active_bins(magnitude))


def test_ideal_embeddings_give_the_ideal_binary_mask():
    model, sources = small_model("dpcl").eval(), voices(batch=1, length=3000)
    spectra = model.front_end.analyse(sources)
    labels = spectra.abs().argmax(1).flatten(1)
    model.embeddings = lambda hidden: torch.nn.functional.one_hot(labels, 6).float()
    magnitude = model.front_end.analyse(sources.sum(1)).abs()
    masks = model.cluster_masks(None, magnitude)
    ideal = torch.nn.functional.one_hot(labels, 2).mT.reshape(masks.shape).float()
    assert torch.equal(masks, ideal) or torch.equal(masks.flip(1), ideal)


def test_embeddings_are_unit_vectors_bin_by_bin():
    model = small_model("dpcl").eval()
    hidden = torch.randn(2, 7, 24)
    v = model.embeddings(hidden)
    torch.testing.assert_close(v.norm(dim=-1), torch.ones(2, 129 * 7))
    expected = torch.tanh(model.embed(hidden[1, 4]))[6 * 100 : 6 * 101]
    torch.testing.assert_close(v[1, 100 * 7 + 4], expected / expected.norm())


@pytest.mark.parametrize("kind", ["dpcl", "chimera_clustering"])
def test_clustered_sources_sum_to_the_mixture(kind):
    model, wav = small_model(kind, n_src=3).eval(), voices().sum(1)
    with torch.no_grad():
        torch.testing.assert_close(model(wav).sum(1), wav, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["dpcl", "chimera"])
def test_padding_and_order_of_sources_change_nothing(kind):
    model, sources = small_model(kind).eval(), voices(length=1000)
    loss = model.training_loss(sources.sum(1), sources)
    longer = torch.nn.functional.pad(sources, (0, 333), value=0.1)
    padded = model.training_loss(longer.sum(1), longer, torch.tensor([1000, 1000]))
    torch.testing.assert_close(padded, loss, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model.training_loss(sources.sum(1), sources.flip(1)), loss)


def test_chimera_weighs_its_two_losses():
    sources = voices(length=1000)
    loss = {a: small_model("chimera", alpha=a).eval().training_loss(sources.sum(1), sources) for a in (0.0, 0.3, 1.0)}
    torch.testing.assert_close(loss[0.3], 0.3 * loss[1.0] + 0.7 * loss[0.0])
    assert loss[0.0] > 0 and loss[1.0] > 0


@pytest.mark.parametrize(
    "cls, kwargs, said",
    [
        (DPCL, {"embedding_dim": 0}, "embedding_dim"),
        (DPCL, {"n_hop": 60}, "n_hop"),
        (Chimera, {"separate_by": "both"}, "separate_by"),
        (Chimera, {"alpha": 1.5}, "alpha"),
        (Chimera, {"mask_act": "softmax"}, "mask_act"),
    ],
)
def test_bad_arguments(cls, kwargs, said):
    with pytest.raises(ValueError, match=said):
        cls(**kwargs)


def test_bad_clusterings():
    with pytest.raises(ValueError, match="n_clusters"):
        kmeans(torch.randn(1, 4, 2), 0)


@pytest.mark.parametrize("kind", ["dpcl", "chimera"])
def test_own_loss_halves_within_a_hundred_steps(kind):
    model = small_model(kind, hid_size=48, embedding_dim=20, dropout=0.1)
    assert steps_to_halve_own_loss(model, voices(length=2000))
