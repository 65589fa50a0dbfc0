"""Writes the model card of a bundle (``README.md``): the original's card, and what the export measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..runtime.bundle.manifest import Manifest

__all__ = ["model_card", "variants_table"]


def model_card(manifest: Manifest, original_card: str | None) -> str:
    """Writes the card.

    A local checkpoint's own card stays as it is, front matter included, and the export's section follows it. For a
    model of the Hub the card names the repository and the commit first, and the original's text comes last.

    Args:
        manifest: The finished manifest.
        original_card: The text of the checkpoint's card, or ``None``.
    """
    head, body = _split(original_card or "")
    source = manifest.source
    if source.kind == "local" and body.strip():
        front = head if head is not None else _front_matter(manifest)
        return f"---\n{front.strip()}\n---\n\n{body.strip()}\n\n{_section(manifest)}"
    title = f"# {manifest.name}\n\n{_origin(manifest)}\n"
    parts = [f"---\n{_front_matter(manifest)}---\n", title, _section(manifest)]
    if body.strip():
        parts.append(f"## The original's model card\n\n{_shifted(body.strip())}\n")
    return "\n".join(parts)


def variants_table(manifest: Manifest) -> str:
    """Returns what was measured for each variant, as a Markdown table that reads as plain text too."""
    header = ("variant", "MB", "time / fp32", "largest probability difference", "decisions flipped")
    rows = [header]
    for name, variant in manifest.variants.items():
        parity = variant.parity
        size = f"{variant.bytes / 1e6:.2f}"
        mark = " (default)" if name == manifest.default_variant and len(manifest.variants) > 1 else ""
        if parity is None:
            rows.append((name + mark, size, "-", "-", "-"))
            continue
        rows.append(
            (
                name + mark,
                size,
                f"{parity.latency_ratio_to_fp32:.2f}",
                f"{parity.max_probability_difference:.1e}",
                f"{parity.decisions_flipped} of {parity.pictures}",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _section(manifest: Manifest) -> str:
    labels = ", ".join(f"`{label.raw}` = {label.meaning}" for label in manifest.labels)
    rule = manifest.decision
    thresholds = ", ".join(f"{meaning} from {value:g}" for meaning, value in rule.thresholds.items())
    decided = f"Temperature {rule.temperature:g}; " + (
        f"shown: {thresholds}, else uncertain." if thresholds else "no thresholds."
    )
    lines = [
        "## This ONNX bundle",
        "",
        f"- Network: {manifest.architecture.class_name}, {_count(manifest.architecture.parameters)}, input "
        f"{manifest.io.channels} x {manifest.io.height} x {manifest.io.width}, processor "
        f"{manifest.processor.reference}.",
        f"- Classes, in order: {labels}. It looks at {manifest.framing.describe()}.",
        f"- {decided}{f' Chosen on: {rule.provenance}' if rule.provenance else ''}",
        "",
        "Each variant was compared with the original in PyTorch, from picture file to probabilities:",
        "",
        variants_table(manifest),
        "",
        *(f"- {note}" for note in manifest.notes),
        "",
        "`bundle.json` holds the hashes and settings. The words female and male are what the training data recorded "
        "about how a person appears; they say nothing about who the person is.",
        "",
    ]
    return "\n".join(lines)


def _origin(manifest: Manifest) -> str:
    source = manifest.source
    licence = f" Licence of the weights: {source.license}." if source.license else " Its card names no licence."
    if source.kind == "hub":
        return (
            f"ONNX export of [{source.repository}](https://huggingface.co/{source.repository}/tree/{source.revision}) "
            f"at commit `{source.revision}`.{licence}"
        )
    return f"ONNX export of a local checkpoint (folder `{source.repository}`, sha256 `{source.digest}`).{licence}"


def _front_matter(manifest: Manifest) -> str:
    lines = [f"license: {manifest.source.license}"] if manifest.source.license else []
    if manifest.source.kind == "hub":
        lines.append(f"base_model: {manifest.source.repository}")
    lines += ["pipeline_tag: image-classification", "library_name: transformers.js", "tags:", "- onnx"]
    return "\n".join(lines) + "\n"


def _split(card: str) -> tuple[str | None, str]:
    """Splits a card into its YAML block (``None`` without one) and its text."""
    if card.startswith("---\n") and "\n---" in card[3:]:
        head, _, rest = card[4:].partition("\n---")
        return head, rest.partition("\n")[2]
    return None, card


def _shifted(text: str) -> str:
    """Moves headings two levels down, so that they stand below the section they are quoted in."""
    lines, fenced = [], False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        lines.append("##" + line if line.startswith("#") and not fenced else line)
    return "\n".join(lines)


def _count(parameters: int | None) -> str:
    return "weights not counted" if parameters is None else f"{parameters / 1e6:.2f} million weights"
