"""The tables that ``evaluate stages`` prints."""

from __future__ import annotations

from typing import Any, Optional

from gluon_mtcnn.tools.evaluate.stages.counts import PROPOSALS


def tables(result: dict[str, Any]) -> str:
    """Return what the command prints: the stages, recall by size, recall at proposals, the thresholds."""
    blocks = [
        [
            f"{result['photos']} photos, {result['faces']} faces of at least {result['min_face_px']:g} px, "
            f"{result['ignored']} ignored"
        ],
        _stage_lines(result["stages"]),
        _size_lines(result["stages"], result["faces_by_size"]),
        _proposal_lines(result["stages"]),
        [_threshold_line(result["thresholds"], result["written"])],
    ]
    return "\n\n".join("\n".join(block) for block in blocks)


def _threshold_line(picked: list[float], written: Optional[list[float]]) -> str:
    texts = [",".join(f"{t:g}" for t in thresholds or ()) for thresholds in (picked, written)]
    as_what = "" if texts[0] == texts[1] else f" as {texts[1]}, scores moved"
    return f"thresholds {texts[0]}" + (f" (written into model.json{as_what})" if written else "")


def _stage_lines(stages: dict[str, Any]) -> list[str]:
    columns = {
        "threshold": ("threshold", "9.3f"),
        "recall": ("recall", "6.4f"),
        "kept": ("kept", "6.4f"),
        "boxes/photo": ("boxes_per_photo", "11.2f"),
        "false/photo": ("false_positives_per_photo", "11.2f"),
        "duplicates/photo": ("duplicates_per_photo", "16.2f"),
        "precision": ("precision", "9.4f"),
        "ms/photo": ("milliseconds", "8.1f"),
    }
    widths = [int(form.split(".")[0]) for _, form in columns.values()]
    lines = ["stage  " + "  ".join(f"{title:>{width}}" for title, width in zip(columns, widths))]
    for kind, at in stages.items():
        cells = [f"{'-':>6}" if at[key] is None else format(at[key], form) for key, form in columns.values()]
        lines.append(f"{kind}   " + "  ".join(cells))
    return lines


def _size_lines(stages: dict[str, Any], by_size: dict[str, int]) -> list[str]:
    lines = ["recall by size, px  " + "".join(f"{label:>8}" for label in by_size)]
    lines.append(f"{'  faces':<20}" + "".join(f"{count:>8}" for count in by_size.values()))
    for kind, at in stages.items():
        lines.append(f"  {kind:<18}" + "".join(f"{at['recall_by_size'][label]:>8.4f}" for label in by_size))
    return lines


def _proposal_lines(stages: dict[str, Any]) -> list[str]:
    lines = ["recall at boxes/photo " + "".join(f"{limit:>8} " for limit in PROPOSALS)]
    fewer = False
    for kind, at in stages.items():
        if kind == "onet":  # its boxes are few: they are the result
            continue
        marks = ["*" if row["boxes_per_photo"] < 0.99 * row["proposals"] else " " for row in at["at_proposals"]]
        cells = (f"{row['recall']:>8.4f}{mark}" for row, mark in zip(at["at_proposals"], marks))
        lines.append((f"  {kind:<20}" + "".join(cells)).rstrip())
        fewer = fewer or "*" in marks
    return lines + ["* there are fewer above the lowest threshold (--lowest)"] * fewer
