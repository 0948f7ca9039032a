"""``qmpd show``: the graph of a running daemon as a picture."""
