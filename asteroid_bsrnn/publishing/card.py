"""Model cards: what a folder of weights says about itself, from the files of its experiment."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..experiment.energy import LEDGER_FILE, Ledger
from ..experiment.evaluation import Evaluation, read_evaluation, read_final
from ..experiment.run_file import Run, read_run
from ..metrics import unit_of
from ..weights.safetensors import json_values

NOT_STATED = "not stated"
_USAGE = """```python
import asteroid_bsrnn
from asteroid.models import BaseModel

model = BaseModel.from_pretrained("org/name").eval()  # the id of this repository, or the folder with these files
```

or, for whole recordings: `asteroid-bsrnn separate SONG -o stems --model org/name`"""


@dataclass(kw_only=True)
class Card:
    """What is known of published weights; nothing is invented, what nobody wrote down is ``"not stated"`` or None.

    Args:
        sources: names of what the model separates.
        data: corpus of training.
        licence: of the weights, as the person who publishes states it.
        commit, protocol, variant, seed, command, versions: of the run.
        scores: ``final_metrics.json``.
        sample_rate: Hz.
        data_licences: of the data, as Asteroid's ``get_infos`` has them.
        evaluation: what was scored: corpus, subset, number of recordings, inference.
        energy_kwh: of the whole experiment.
    """

    sources: list[str]
    data: str
    licence: str
    commit: str
    scores: dict[str, float]
    sample_rate: float
    data_licences: list[dict[str, Any]]
    evaluation: dict[str, Any]
    energy_kwh: float | None
    protocol: str | None = None
    variant: str | None = None
    seed: int | None = None
    command: list[str] | str | None = None
    versions: dict[str, Any] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """As plain values, what the run did not record left out."""
        of_run = ("protocol", "variant", "seed", "command", "versions")
        return json_values(
            {key: value for key, value in asdict(self).items() if key not in of_run or value not in (None, {})}
        )


def read_card(exp_dir: Path, model: torch.nn.Module, stored: dict[str, Any], licence: str | None = None) -> Card:
    """Collect the card of an experiment from whatever of its files is there.

    Args:
        exp_dir: experiment folder.
        model: for its sources and rate.
        stored: content of ``best_model.pth``; ``dataset`` and ``licenses`` (Asteroid's ``get_infos``) are read.
        licence: of the weights.
    """
    run, told = read_run(exp_dir) or Run(), read_evaluation(exp_dir) or Evaluation()
    numbered = [f"s{index + 1}" for index in range(getattr(model, "n_src", None) or 0)]
    scored = {"corpus": told.corpus, "subset": told.subset, "n_tracks": told.n_tracks, "inference": told.inference}
    ledger = Ledger(exp_dir / LEDGER_FILE)
    return Card(
        sources=list(getattr(model, "sources", None) or numbered),
        data=run.corpus or stored.get("dataset") or NOT_STATED,
        licence=licence or NOT_STATED,
        commit=run.commit or NOT_STATED,
        scores=read_final(exp_dir) or {},
        sample_rate=cast(float, model.sample_rate),
        data_licences=stored.get("licenses") or [],
        evaluation={key: value for key, value in scored.items() if value is not None},
        energy_kwh=round(ledger.total(), 6) if ledger.entries() else None,
        protocol=run.protocol,
        variant=run.variant,
        seed=run.seed,
        command=run.command,
        versions=run.versions,
    )


def model_card(card: Card, model_name: str, hashes: dict[str, str], training_conf: str) -> str:
    """The ``README.md`` of a published model: Markdown with the hub's tags on top.

    Args:
        card: what is known.
        model_name: class of the model.
        hashes: file name -> SHA-256.
        training_conf: text of ``conf.yml``, or "".
    """
    sections = [
        f"# {model_name}: {', '.join(card.sources) or 'separation'}\n",
        _description(card, model_name),
        "## Use\n\n" + _USAGE,
        "## Results\n\n" + _results(card),
        "## Training configuration\n\n"
        + (f"```yaml\n{training_conf.strip()}\n```" if training_conf.strip() else "Not stated."),
        "## Files\n\n| file | SHA-256 |\n|---|---|\n"
        + "\n".join(f"| `{name}` | `{digest}` |" for name, digest in hashes.items()),
        "## Licence\n\n" + _licence(card),
    ]
    text = "\n\n".join(section.strip() for section in sections) + "\n"
    return str(ModelCard(f"---\n{_tags(card, model_name).to_yaml()}\n---\n\n{text}", ignore_metadata_errors=True))


def _tags(card: Card, model_name: str) -> ModelCardData:
    known = card.data != NOT_STATED
    task, data = ("audio-source-separation", "Source separation"), (card.data, card.data)
    results = [EvalResult(*place, metric_type=name, metric_value=value, metric_name=name, task_name=task[1])
               for place in [(task[0], *data)] for name, value in card.scores.items()]  # fmt: skip
    return ModelCardData(
        library_name="asteroid",
        tags=["asteroid", "asteroid_bsrnn", "audio", "audio-source-separation", model_name],
        license=card.licence if card.licence != NOT_STATED else "unknown",
        datasets=[card.data] if known else None,
        model_name=model_name if known and results else None,
        eval_results=results if known and results else None,
    )


def _description(card: Card, model_name: str) -> str:
    first = (
        f"`{model_name}` of the Asteroid add-on asteroid_bsrnn. Training data: {card.data}. "
        f"Sample rate: {card.sample_rate} Hz."
    )
    command = card.command if card.command is None or isinstance(card.command, str) else " ".join(card.command)
    facts = {"Variant": card.variant, "Protocol": card.protocol, "Commit": card.commit, "Seed": card.seed,
             "Energy (kWh)": card.energy_kwh, "Command": f"`{command}`" if command else None}  # fmt: skip
    return "\n".join([first, "", *(f"* {label}: {fact}" for label, fact in facts.items() if fact is not None)])


def _results(card: Card) -> str:
    if not card.scores:
        return "Not stated."
    where = ", ".join(f"{key} {value}" for key, value in card.evaluation.items() if key != "inference")
    rows = "\n".join(f"| {name} | {value:.3f} | {unit_of(name)} |" for name, value in card.scores.items())
    return (
        (f"Measured on: {where}.\n\n" if where else "")
        + "| score over all recordings | value | unit |\n|---|---|---|\n"
        + rows
    )


def _licence(card: Card) -> str:
    lines = [f"Weights: {card.licence}."]
    for entry in card.data_licences:
        terms = f"{entry.get('license', NOT_STATED)}.{' Research only.' if entry.get('non_commercial') else ''}"
        cited = f" Cite: {entry['citation']}." if entry.get("citation") else ""
        lines.append(f"* Training data {entry.get('title', '?')} by {entry.get('author', '?')}: {terms}{cited}")
    return "\n".join(lines if card.data_licences else [*lines, f"Licences of the training data: {NOT_STATED}."])
