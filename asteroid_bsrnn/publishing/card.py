"""Model cards: what a folder of weights says about itself, from the files of its experiment."""

from pathlib import Path

from ..common.errors import UserError
from ..common.files import read_json
from ..weights.safetensors import plain

NOT_STATED = "not stated"
_USAGE = """```python
import asteroid_bsrnn
from asteroid.models import BaseModel

model = BaseModel.from_pretrained("org/name").eval()  # the id of this repository, or the folder with these files
```

or, for whole recordings: `asteroid-bsrnn separate SONG -o stems --model org/name`"""


def read_card(exp_dir, model, stored, licence=None):
    """Collect the card of an experiment; nothing is invented, what nobody wrote down is ``"not stated"``.

    Args:
        exp_dir (Path): experiment folder with any of ``run.json``, ``final_metrics.json``, ``evaluation.json``,
            ``energy.json``.
        model (torch.nn.Module): the model, for its sources and rate.
        stored (dict): content of ``best_model.pth``; ``dataset`` and ``licenses`` (Asteroid's ``get_infos``) are read.
        licence (str, optional): licence of the weights, as the person who publishes states it.

    Returns:
        dict: ``sources, data, licence, commit, scores, sample_rate, data_licences, evaluation, energy_kwh``, and what
        the run recorded of ``protocol, variant, seed, command, versions``.
    """
    run, evaluation = _optional(exp_dir / "run.json"), _optional(exp_dir / "evaluation.json")
    sources = getattr(model, "sources", None) or [
        f"s{index + 1}" for index in range(getattr(model, "n_src", None) or 0)
    ]
    card = {
        "sources": list(sources),
        "data": run.get("corpus") or stored.get("dataset") or NOT_STATED,
        "licence": licence or NOT_STATED,
        "commit": run.get("commit") or NOT_STATED,
        "scores": {
            name: value
            for name, value in _optional(exp_dir / "final_metrics.json").items()
            if isinstance(value, (int, float))
        },
        "sample_rate": model.sample_rate,
        "data_licences": stored.get("licenses") or [],
        "evaluation": {
            key: evaluation[key] for key in ("corpus", "subset", "n_tracks", "inference") if key in evaluation
        },
        "energy_kwh": _energy(exp_dir / "energy.json"),
    }
    card.update(
        {key: run[key] for key in ("protocol", "variant", "seed", "command", "versions") if run.get(key) is not None}
    )
    return plain(card)


def model_card(card, model_name, hashes, training_conf):
    """The ``README.md`` of a published model.

    Args:
        card (dict): see :func:`read_card`.
        model_name (str): class of the model.
        hashes (dict): file name -> SHA-256.
        training_conf (str): text of ``conf.yml``, or "".

    Returns:
        str: Markdown with the hub's tags on top.
    """
    sections = [
        _front_matter(card, model_name),
        f"# {model_name}: {', '.join(card['sources']) or 'separation'}\n",
        _description(card, model_name),
        "## Use\n\n" + _USAGE,
        "## Results\n\n" + _results(card),
        "## Training configuration\n\n"
        + (f"```yaml\n{training_conf.strip()}\n```" if training_conf.strip() else "Not stated."),
        "## Files\n\n| file | SHA-256 |\n|---|---|\n"
        + "\n".join(f"| `{name}` | `{digest}` |" for name, digest in hashes.items()),
        "## Licence\n\n" + _licence(card),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _front_matter(card, model_name):
    import yaml

    stated = card["licence"] != NOT_STATED
    known = card["data"] != NOT_STATED
    results = [{"type": name, "name": name, "value": value} for name, value in card["scores"].items()]
    tags = {
        "library_name": "asteroid",
        "tags": ["asteroid", "asteroid_bsrnn", "audio", "audio-source-separation", model_name],
        "license": card["licence"] if stated else "unknown",
    }
    if known:
        tags["datasets"] = [card["data"]]
    if known and results:
        task, data = (
            {"type": "audio-source-separation", "name": "Source separation"},
            {
                "type": card["data"],
                "name": card["data"],
            },
        )
        tags["model-index"] = [{"name": model_name, "results": [{"task": task, "dataset": data, "metrics": results}]}]
    return "---\n" + yaml.safe_dump(tags, sort_keys=False, allow_unicode=True) + "---"


def _description(card, model_name):
    lines = [
        f"`{model_name}` of the Asteroid add-on asteroid_bsrnn. Training data: {card['data']}. "
        f"Sample rate: {card['sample_rate']} Hz."
    ]
    facts = [
        ("Variant", "variant"),
        ("Protocol", "protocol"),
        ("Commit", "commit"),
        ("Seed", "seed"),
        ("Energy (kWh)", "energy_kwh"),
    ]
    lines += [f"* {label}: {card[key]}" for label, key in facts if card.get(key) is not None]
    if card.get("command"):
        command = card["command"]
        lines.append(f"* Command: `{command if isinstance(command, str) else ' '.join(command)}`")
    return "\n".join([lines[0], "", *lines[1:]])


def _results(card):
    if not card["scores"]:
        return "Not stated."
    evaluation = card["evaluation"]
    where = ", ".join(f"{key} {value}" for key, value in evaluation.items() if key != "inference")
    rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in card["scores"].items())
    return (
        (f"Measured on: {where}.\n\n" if where else "")
        + "| metric | mean (dB unless named otherwise) |\n|---|---|\n"
        + rows
    )


def _licence(card):
    lines = [f"Weights: {card['licence']}."]
    for entry in card["data_licences"]:
        terms = f"{entry.get('license', NOT_STATED)}.{' Research only.' if entry.get('non_commercial') else ''}"
        lines.append(f"* Training data {entry.get('title', '?')} by {entry.get('author', '?')}: {terms}")
    return "\n".join(lines if card["data_licences"] else [*lines, f"Licences of the training data: {NOT_STATED}."])


def _energy(path):
    entries = _optional(path).get("entries", [])
    return round(sum(entry["kwh"] for entry in entries), 6) if entries else None


def _optional(path):
    """Content of a JSON file, {} when there is none."""
    if not Path(path).exists():
        return {}
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, expected is a JSON object")
    return content
