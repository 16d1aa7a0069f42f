"""How fast a place is relocated among 20,000 panoramas: `python benchmarks/bench_relocation.py`.

Against the linear scan by haversine that it replaces, in the same run; medians over rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from words import started

from envs.virl.geo import LatLng, haversine
from envs.virl.published.relocation import PanoramaIndex


def microseconds_each(look_up: Callable[[LatLng], object], places: list[LatLng]) -> float:
    began = time.perf_counter()
    for place in places:
        look_up(place)
    return (time.perf_counter() - began) / len(places) * 1e6


def main() -> None:
    rng = np.random.default_rng(0)
    places = [(40.7 + a, -74.0 + b) for a, b in rng.uniform(0, 0.03, (20_000, 2)).tolist()]
    index = PanoramaIndex({place: str(k) for k, place in enumerate(places)})
    questions = [(40.7 + a, -74.0 + b) for a, b in rng.uniform(0, 0.03, (2_000, 2)).tolist()]
    by_index = [
        microseconds_each(lambda place: index.nearest(place, 20.0), questions) for _ in range(7)
    ]
    by_scan = [
        microseconds_each(lambda place: min(haversine(place, p) for p in places), questions[:5])
        for _ in range(3)
    ]
    fast, slow = statistics.median(by_index), statistics.median(by_scan)
    print(
        f"relocation among 20,000 panoramas: {fast:.1f} us, linear scan {slow:.0f} us: "
        f"{slow / fast:.0f} times"
    )


if __name__ == "__main__":
    started(main)
