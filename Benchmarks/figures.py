"""Samples, the ratios that are wanted of them, and the tables they are printed as."""

import json
import os
import statistics
import time


def percentile(samples, share):
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


class Row:
    """One measurement: samples of milliseconds, or of what `unit` says."""

    def __init__(self, name, samples, unit="ms"):
        self.name, self.samples, self.unit = name, list(samples), unit

    def at(self, share):
        return statistics.median(self.samples) if share == 0.5 else percentile(self.samples, share)

    def as_dict(self):
        return {"name": self.name, "unit": self.unit, "n": len(self.samples), "p50": self.at(0.5),
                "p95": self.at(0.95), "p99": self.at(0.99)}


class Target:
    """A figure of one row, or its ratio to another's, and what it should be."""

    def __init__(self, name, above, limit, below=None, share=0.5, at_least=False):
        self.name, self.above, self.below, self.limit = name, above, below, limit
        self.share, self.at_least = share, at_least

    def figure(self, rows):
        if self.above not in rows or (self.below and self.below not in rows):
            return None
        figure = rows[self.above].at(self.share)
        return figure / rows[self.below].at(self.share) if self.below else figure

    def is_met(self, figure):
        return figure >= self.limit if self.at_least else figure <= self.limit


class Report:
    """What was measured, and what could not be had and why."""

    def __init__(self, is_quiet):
        self.rows, self.missing, self.is_quiet = {}, {}, is_quiet
        self.load = os.getloadavg()[0]

    def add(self, key, name, samples, unit="ms"):
        row = self.rows[key] = Row(name, samples, unit)
        if not self.is_quiet:
            print(self.line(row), flush=True)

    def lack(self, name, reason):
        lines = str(reason).strip().splitlines() or ["no reason given"]
        self.missing[name] = " / ".join(line.strip() for line in lines)[:400]
        if not self.is_quiet:
            print(f"{name:48}   missing: {self.missing[name]}", flush=True)

    @staticmethod
    def heading():
        return f"{'measurement':48} {'unit':>5} {'n':>5} {'p50':>9} {'p95':>9} {'p99':>9}"

    @staticmethod
    def line(row):
        figures = row.as_dict()
        return (f"{row.name:48} {row.unit:>5} {figures['n']:>5} {figures['p50']:>9.2f} {figures['p95']:>9.2f} "
                f"{figures['p99']:>9.2f}")

    def targets_as_text(self, targets):
        lines = [f"{'target':64} {'is':>8} {'wanted':>10}"]
        for target in targets:
            figure = target.figure(self.rows)
            sign = ">=" if target.at_least else "<="
            text = "-" if figure is None else f"{figure:.2f}"
            word = "not measured" if figure is None else "" if target.is_met(figure) else "missed"
            lines.append(f"{target.name:64} {text:>8} {sign:>4}{target.limit:>6g}  {word}".rstrip())
        return "\n".join(lines)

    def as_json(self, targets):
        found = [(target, target.figure(self.rows)) for target in targets]
        return json.dumps({
            "cores": os.cpu_count(), "loadBefore": self.load,
            "rows": {key: row.as_dict() for key, row in self.rows.items()},
            "targets": [
                {"name": target.name, "is": figure, "wanted": target.limit, "atLeast": target.at_least,
                 "met": None if figure is None else target.is_met(figure)} for target, figure in found],
            "missing": self.missing}, indent=2)


def elapsed(action):
    """Milliseconds that it takes."""
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def alternating(rounds, warmups=3, pause=0, **actions):
    """Samples of each, one after the other in every round, so that what else the machine does falls on all; so many
    seconds lie before each."""
    samples = {name: [] for name in actions}
    for turn in range(warmups + rounds):
        for name, action in actions.items():
            time.sleep(pause)
            took = elapsed(action)
            if turn >= warmups:
                samples[name].append(took)
    return samples
