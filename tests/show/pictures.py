"""Pictures made by hand, and pictures that hypothesis imagines."""

from hypothesis import strategies as st

from qmpd.show.model import Edge, Job, Node, Picture, User


def chain(length, **fields):
    """A chain without anything else, the top first."""
    nodes = {number: Node(number, f"n{number}", "qcow2") for number in range(length)}
    edges = tuple(
        Edge(number, number + 1, "backing", "c---", "cwur") for number in range(length - 1)
    )
    return Picture(nodes, edges=edges, version="7.2.22", **fields)


@st.composite
def pictures(draw):
    """Any graph without circles: nodes only stand on nodes of higher numbers."""
    count = draw(st.integers(0, 8))
    names = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=40)
    drivers = st.sampled_from(("qcow2", "file", "throttle", "commit_top", "raw"))
    nodes = {}
    for number in range(count):
        access = draw(st.sampled_from(("", "r", "rw")))
        locks = (100, 201, 203) if access else ()
        nodes[number] = Node(
            number, draw(names), draw(drivers), draw(st.booleans()), "/a/b", access, locks
        )
    kinds = st.sampled_from(("device", "backend", "job"))
    users = {number: User(number, draw(kinds), draw(names)) for number in range(100, 103)}
    edges = []
    for number in range(count):
        for child in draw(st.lists(st.integers(number + 1, count), unique=True, max_size=3)):
            if child < count:
                name = "backing" if not any(e.parent == number for e in edges) else f"file{child}"
                edges.append(Edge(number, child, name, "cw-r", "c-u-"))
    for user in users if count else ():
        used = draw(st.lists(st.integers(0, count - 1), unique=True, max_size=3))
        edges += [Edge(user, child, "root", "----", "cwur") for child in used]
    total = draw(st.integers(0, 100))
    jobs = tuple(
        Job(user.name, "commit", "running", draw(st.integers(0, total)), total)
        for user in users.values()
        if user.kind == "job"
    )
    return Picture(nodes, users, tuple(edges), jobs, "7.2.22", lab=True)
