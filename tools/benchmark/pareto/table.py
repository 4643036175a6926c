"""The text of a comparison."""

from __future__ import annotations

from typing import Optional

from gluon_mtcnn.tools.benchmark.pareto.run import ParetoResult


def table(result: ParetoResult) -> str:
    """Return a line for each point by rising time: time, by stage, boxes, mean AP and AP by column."""
    columns = list(result.points[0].accuracy) if result.points else []
    head = ["", "setting", "ms", "P", "R", "O", "boxes R", "boxes O", "mean AP", *columns]
    rows = [head]
    for i in sorted(range(len(result.points)), key=lambda i: result.points[i].processor_ms):
        point = result.points[i]
        times = [_number(point.stage_ms.get(net), 1) for net in ("pnet", "rnet", "onet")]
        boxes = [_number(point.boxes.get(net), 1) for net in ("rnet", "onet")]
        aps = [_number(point.accuracy[column]["AP"], 4) for column in columns]
        mark = "*" if i in result.front else ""
        rows.append(
            [mark, point.label, _number(point.processor_ms, 1), *times, *boxes, _number(point.mean_ap, 4), *aps]
        )
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    lines = ["  ".join(_cell(k, text, width) for k, (text, width) in enumerate(zip(row, widths))) for row in rows]
    lines.append("*: no other has a higher mean AP in no more time. Times: processor, a photo, decoding aside.")
    lines += [f"{name}: {reason}" for name, reason in result.not_measured.items()]
    return "\n".join(line.rstrip() for line in lines)


def _cell(column: int, text: str, width: int) -> str:
    return text.ljust(width) if column < 2 else text.rjust(width)


def _number(value: Optional[float], digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
