"""The assignment that FDDB's program finds, which is not always the best one: Kuhn's method, in its order of search.

The method (H. W. Kuhn, "The Hungarian method for the assignment problem", 1955) keeps a price for each row and column,
so that no pair is worth more than its two prices together, and matches pairs that are worth exactly that. FDDB's
program can take a step of zero for the end of the search, and then stops with a complete assignment whose sum is not
the largest. Which one depends on the order of rows and columns. This module repeats that order; it serves
``evaluate fddb --matcher official`` only. The optimum is `scipy.optimize.linear_sum_assignment`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

EPS = 1e-15  # two numbers that differ by less count as equal


class NoAssignmentError(Exception):
    """FDDB's program ends here with a failed assertion, or never ends."""


def kuhn(worth: Sequence[Sequence[float]]) -> list[int]:
    """Return the column that the program gives to each row.

    Parameters
    ----------
    worth : m lists of n numbers of at least 0, m <= n

    Returns
    -------
    list of m ints, all different

    Raises
    ------
    NoAssignmentError
        The program has no answer.
    """
    search = _Search(worth)
    while True:
        while search.lengthen():
            pass
        if not search.reprice():
            break
    if -1 in search.column_of:
        raise NoAssignmentError("a row is left without a column")
    return search.column_of


class _Search:
    """Prices, exact pairs and the matching so far."""

    def __init__(self, worth: Sequence[Sequence[float]]) -> None:
        self.worth = worth
        self.rows, self.columns = range(len(worth)), range(len(worth[0]) if worth else 0)
        row_best = [max(0.0, *row) for row in worth]
        column_best = [max(0.0, *(row[j] for row in worth)) for j in self.columns]
        by_row = _total(row_best) <= _total(column_best)
        self.row_price = row_best if by_row else [0.0] * len(self.rows)
        self.column_price = [0.0] * len(self.columns) if by_row else column_best
        self.column_of, self.row_of = [-1] * len(self.rows), [-1] * len(self.columns)
        self.spent = [False] * len(self.rows)  # rows from which no path leads to a free one
        self._find_exact()
        self._match_greedily(by_row)

    def _slack(self, i: int, j: int) -> float:
        return self.row_price[i] + self.column_price[j] - self.worth[i][j]

    def _find_exact(self) -> None:
        """Note the exact pairs of each column; a match that is no longer one of them is dissolved."""
        self.exact = [[abs(self._slack(i, j)) < EPS for i in self.rows] for j in self.columns]
        for i in self.rows:
            j = self.column_of[i]
            if j >= 0 and not self.exact[j][i]:
                self.column_of[i] = self.row_of[j] = -1

    def _match_greedily(self, by_row: bool) -> None:
        """Match each row with its first free exact column, or each column with its first free exact row."""
        order = ((i, j) for i in self.rows for j in self.columns)
        if not by_row:
            order = ((i, j) for j in self.columns for i in self.rows)
        for i, j in order:
            if self.exact[j][i] and self.column_of[i] < 0 and self.row_of[j] < 0:
                self.column_of[i], self.row_of[j] = j, i

    def lengthen(self) -> bool:
        """Match one row more along the first path of exact pairs from a free column to a free row; False if none."""
        self.spent = [False] * len(self.rows)
        return any(self.row_of[j] < 0 and self._walk(j) for j in self.columns)

    def _walk(self, free: int) -> bool:
        """Search in depth for a path that begins at a free column, and match along it."""
        path: list[int] = []  # rows; the first is reached by the free column, each other by its predecessor's column
        column, following = free, 0
        while True:
            row = self._next_row(column, following, path)
            if row is not None:
                path.append(row)
                if self.column_of[row] < 0:
                    break
                column, following = self.column_of[row], 0
                continue
            if not path:
                return False
            self.spent[path[-1]] = True
            following = path.pop() + 1
            column = self.column_of[path[-1]] if path else free
        columns = [free, *(self.column_of[row] for row in path[:-1])]
        for row, reached in zip(path, columns):
            self.column_of[row], self.row_of[reached] = reached, row
        return True

    def _next_row(self, column: int, start: int, path: list[int]) -> Optional[int]:
        exact, own = self.exact[column], self.row_of[column]
        for i in range(start, len(exact)):
            if exact[i] and i != own and i not in path:
                return i
        return None

    def reprice(self) -> bool:
        """Change prices such that another pair becomes exact; False if the program sees none that could."""
        open_rows = [i for i in self.rows if not self.spent[i]]
        settled = {self.column_of[i] for i in open_rows}
        open_columns = [j for j in self.columns if j not in settled]
        step = 0.0
        for i in open_rows:
            for j in open_columns:
                slack = self._slack(i, j)
                if slack < -EPS:
                    raise NoAssignmentError("a pair is worth more than its prices")
                if abs(step) < EPS or slack < step:  # a step of 0 gives way to any other: here the optimum is lost
                    step = slack
        if abs(step) < EPS:
            return False
        if not self._shift(step, open_rows, open_columns):
            raise NoAssignmentError("prices stay as they are for ever")
        if any(self._slack(i, j) < -EPS for i in self.rows for j in self.columns):
            raise NoAssignmentError("a pair is worth more than its prices")
        self._find_exact()
        return True

    def _shift(self, step: float, open_rows: list[int], open_columns: list[int]) -> bool:
        """Move prices between rows and columns by at most `step`, none below 0; False if nothing changes."""
        columns_open, rows_open = set(open_columns), set(open_rows)
        if any(self.row_price[i] == 0 for i in open_rows):
            step = min([step, *(self.column_price[j] for j in open_columns)])
            self.row_price = [price if i in rows_open else price + step for i, price in enumerate(self.row_price)]
            for j in open_columns:
                self.column_price[j] -= step
        else:
            step = min([step, *(self.row_price[i] for i in open_rows)])
            for i in open_rows:
                self.row_price[i] -= step
            prices = enumerate(self.column_price)
            self.column_price = [price if j in columns_open else price + step for j, price in prices]
        return step != 0


def _total(values: Sequence[float]) -> float:
    """Return the sum, added one by one: Python 3.12's `sum` is more exact than the program's."""
    total = 0.0
    for value in values:
        total += value
    return total
