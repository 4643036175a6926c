"""FDDB's official program, restated from its rules alone: whole masks, each threshold anew, a matrix of marks.

Shares no code with tools.evaluate.fddb. Slow, and meant to be read beside the description of the protocol.
"""

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

NONE, EXACT, MATCHED = 0, 1, 2
EPS = 1e-15
NO_DETECTION = 1.7976931348623157e308


def face_mask(face, size):
    """Fill an ellipse: centre rounded from float32, radii truncated, angle rounded to a degree."""
    mask = np.zeros(size[::-1], np.uint8)
    centre = [int(np.rint(np.float32(value))) for value in face[3:5]]
    degrees = 180 - (np.pi - face[2]) * 180 / np.pi
    cv2.ellipse(mask, centre, (int(face[0]), int(face[1])), float(np.rint(degrees)), 0, 360, 1, -1)
    return mask.astype(bool)


def box_mask(box, size, official):
    """Fill a rectangle between two rounded corners, which OpenCV takes in either order."""
    mask = np.zeros(size[::-1], np.uint8)
    x, y, w, h = map(float, box[:4])
    near, far = ([int(np.rint(np.float32(value))) for value in corner] for corner in ((x, y), (x + w, y + h)))
    if official or (near[0] <= far[0] and near[1] <= far[1]):
        cv2.rectangle(mask, near, far, 1, -1)
    return mask.astype(bool)


def overlaps(faces, boxes, size, official):
    """IoU in pixels of each face with each box."""
    found = np.zeros((len(faces), len(boxes)))
    masks = [box_mask(box, size, official) for box in boxes]
    for i, face in enumerate(faces):
        mask = face_mask(face, size)
        for j, other in enumerate(masks):
            union = np.count_nonzero(mask | other)
            found[i, j] = np.count_nonzero(mask & other) / union if union else 0
    return found


def kuhn_of_the_program(r):  # noqa: C901 - one piece, to be read from top to bottom
    """Kuhn's method on a matrix r (m <= n): marks, prices u and v; returns the column of each row."""
    m, n = r.shape
    u, v, marks = np.zeros(m), np.zeros(n), np.zeros((m, n), int)
    best = [[max(line) for line in r.tolist()], [max(line) for line in r.T.tolist()]]
    totals = [float(np.add.accumulate(values)[-1]) for values in best]
    by_row = totals[0] <= totals[1]
    if by_row:
        u[:] = best[0]
    else:
        v[:] = best[1]
    marks[np.abs(u[:, None] + v - r) < EPS] = EXACT
    for a in range(m if by_row else n):
        for b in range(n if by_row else m):
            i, j = (a, b) if by_row else (b, a)
            taken = marks[:, j] if by_row else marks[i]
            if marks[i, j] == EXACT and not (taken == MATCHED).any():
                marks[i, j] = MATCHED
                break

    def path_from(j, rows, essential):
        """Depth first: the pairs of an alternating path from column j to a row without a match, or None."""
        for i in range(m):
            if marks[i, j] != EXACT or i in rows:
                continue
            matched = np.flatnonzero(marks[i] == MATCHED)
            if not len(matched):
                return [(i, j)]
            rest = path_from(matched[0], [*rows, i], essential)
            if rest is not None:
                return [(i, j), (i, matched[0]), *rest]
            essential[i] = True
        return None

    while True:
        essential, path = np.zeros(m, bool), None
        for j in range(n):
            if not (marks[:, j] == MATCHED).any():
                path = path_from(j, [], essential)
                if path is not None:
                    break
        if path is not None:
            for i, j in path:
                marks[i, j] = EXACT + MATCHED - marks[i, j]
            continue
        columns = np.array([((marks[:, j] == MATCHED) & ~essential).any() for j in range(n)], bool)
        step = 0.0
        for i in np.flatnonzero(~essential):
            for j in np.flatnonzero(~columns):
                slack = u[i] + v[j] - r[i, j]
                if abs(step) < EPS or slack < step:
                    step = slack
        if abs(step) < EPS:
            return [int(np.flatnonzero(marks[i] == MATCHED)[0]) for i in range(m)]
        if (u[~essential] == 0).any():
            step = min([step, *v[~columns]])
            u[essential] += step
            v[~columns] -= step
        else:
            step = min([step, *u[~essential]])
            u[~essential] -= step
            v[columns] += step
        assert step, "the program never ends here"
        exact = np.abs(u[:, None] + v - r) < EPS
        marks[~exact] = NONE
        marks[exact & (marks == NONE)] = EXACT


def states(faces, boxes, size, official):
    """Threshold, hits, summed IoU, false positives of one image, lowest threshold first."""
    if not len(boxes):
        return [(NO_DETECTION, 0, 0.0, 0)]
    iou, found = overlaps(faces, boxes, size, official), []
    for threshold in sorted(set(boxes[:, -1].tolist())):
        kept = boxes[:, -1] >= threshold
        r = iou[:, kept & iou.any(axis=0)] if len(faces) else iou
        r = r[r.any(axis=1)] if r.size else np.zeros((0, 0))
        pairs = []
        if r.size and official:
            r = r.T if len(r) > r.shape[1] else r
            pairs = [r[i, j] for i, j in enumerate(kuhn_of_the_program(r))]
        elif r.size:
            pairs = [value for value in r[linear_sum_assignment(r, maximize=True)].tolist() if value > 0]
        total = 0.0
        for pair in pairs:
            total += pair
        hits = sum(pair > 0.5 for pair in pairs)
        found.append((threshold, hits, total, int(kept.sum()) - hits))
    return found


def merged(first, second):
    """Add the states of two sets: at a threshold each set counts as at its own next one, beyond its last as nothing."""
    result = []
    for threshold in sorted({state[0] for state in [*first, *second]}):
        rows = [next((state[1:] for state in part if state[0] >= threshold), (0, 0.0, 0)) for part in (first, second)]
        result.append((threshold, *(a + b for a, b in zip(*rows))))
    return result


def curves(annotations, detections, sizes, official):
    """Return the lines of DiscROC.txt and ContROC.txt."""
    total: list = []
    for name, faces in annotations.items():
        total = merged(total, states(faces, detections[name], sizes[name], official))
    count = sum(map(len, annotations.values()))
    disc, cont = [], []
    for threshold, hits, overlap, false in total:
        disc.append(f"{hits / count:g} {false:g} {threshold:g}\n" if count else f"0 0 {threshold:g}\n")
        cont.append(f"{overlap / count:g} {false:g}\n" if count else "0 0\n")
    return disc, cont
