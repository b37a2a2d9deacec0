# SPDX-License-Identifier: Apache-2.0
"""A chart or a table as data, beside its picture or its text.

A result has two more types of data: CHART of a figure of matplotlib, with the points, bars, wedges
or boxes that were drawn, and TABLE of a DataFrame, with its columns. Both are left out of a result
that is larger than LIMIT. A chart is read from what is on the axes, so it does not matter who drew
it. Libraries are not imported here: a figure or a frame has brought its own.
"""
import json
import math

from IPython.core.formatters import BaseFormatter

CHART = "application/vnd.corral.chart+json"
TABLE = "application/vnd.corral.table+json"
LIMIT = 10000  # points of a chart, cells of a table


class DataFormatter(BaseFormatter):
    """Knows its objects by the names of their classes. IPython's own table of classes will not do: the
    backend of matplotlib takes the class of figures out of every formatter when it is set up."""

    def __init__(self, owners, read, **options):
        super().__init__(**options)
        self._owners = owners
        self._read = read

    def __call__(self, value):
        kinds = {(kind.__module__, kind.__name__) for kind in type(value).__mro__}
        return self._read(value) if kinds & self._owners else None


class _TooMuch(Exception):
    """The chart has more than LIMIT points."""


def register(display):
    """Adds both types to a DisplayFormatter."""
    for kind, read, owners in (
        (CHART, chart, {("matplotlib.figure", "Figure")}),
        (TABLE, table, {("pandas.core.frame", "DataFrame"), ("pandas", "DataFrame")}),
    ):
        display.formatters[kind] = DataFormatter(owners, read, parent=display, format_type=kind)


def table(frame):
    """Column -> values. None: it is too large, or no JSON can hold it."""
    try:
        if frame.size > LIMIT:
            return None
        text = frame.to_json(orient="split", date_format="iso", default_handler=str)
        rows = json.loads(text)["data"]
        return {str(name): [row[i] for row in rows] for i, name in enumerate(frame.columns)}
    except Exception:  # a subclass can raise anything, and the text of the frame is still shown
        return None


def chart(figure):
    """What the figure shows. None: nothing, or too much."""
    try:
        charts = [_of_axes(axes) for axes in figure.axes if axes.has_data()]
        if sum(_size(each) for each in charts) > LIMIT:
            return None
        title = getattr(figure, "_suptitle", None)
    except Exception:  # artists of other libraries can raise anything; the picture is still shown
        return None
    if len(charts) < 2:
        return charts[0] if charts else None
    return {
        "type": "superchart",
        "title": title.get_text() if title is not None else "",
        "elements": charts,
    }


def _size(chart_of_axes):
    return sum(len(e.get("points", [0])) for e in chart_of_axes["elements"])


def _of_axes(axes):
    """The first kind of chart that has elements: a bar chart may have lines for its errors."""
    title = axes.get_title() or axes.get_title("left") or axes.get_title("right")
    for kind, read, members in (
        ("pie", _wedges, None),
        ("box_and_whisker", _boxes, _labels),
        ("bar", _bars, _labels),
        ("scatter", _dots, _scales),
        ("line", _lines, _scales),
    ):
        elements = read(axes)
        if elements:
            found = {"type": kind, "title": title, "elements": elements}
            return {**found, **members(axes)} if members else found
    return {"type": "unknown", "title": title, "elements": []}


# --- what axes say of themselves ---


def _labels(axes):
    """A unit is what stands in parentheses at the end of a label."""
    members = {}
    for name, label in (("x", axes.get_xlabel()), ("y", axes.get_ylabel())):
        unit = label[label.rindex("(") + 1 : -1] if label.endswith(")") and "(" in label else None
        members[f"{name}_label"] = label or None
        members[f"{name}_unit"] = unit or None
    return members


def _scales(axes):
    members = _labels(axes)
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        places = [p for p in axis.get_majorticklocs() if low <= p <= high]
        members[f"{name}_ticks"] = _values(axis, places)
        members[f"{name}_tick_labels"] = list(axis.get_major_formatter().format_ticks(places))
        members[f"{name}_scale"] = (
            "categorical" if _names(axis) else "datetime" if _to_date(axis) else axis.get_scale()
        )
    return members


def _names(axis):
    """Number -> name of an axis whose values are names."""
    mapping = getattr(axis.units, "_mapping", None) or {}
    return {number: str(name) for name, number in mapping.items()}


def _to_date(axis):
    """What makes a date of a number on this axis. None: its values are no dates."""
    find = getattr(axis, "get_converter", None)
    kind = type(find() if find else getattr(axis, "converter", None)).__name__.lower()
    if kind.endswith(("dateconverter", "datetimeconverter")):
        from matplotlib.dates import num2date

        return num2date
    if kind == "periodconverter":  # of pandas, for an index with a frequency
        from pandas import Period

        return lambda number: Period(ordinal=int(number), freq=axis.freq).to_timestamp()
    return None


def _values(axis, numbers):
    """What the user gave: names, dates or numbers. No number that JSON does not have."""
    numbers = [float(n) for n in numbers]
    if len(numbers) > LIMIT:
        raise _TooMuch
    names = _names(axis)
    if names:
        return [names.get(n, _number(n)) for n in numbers]
    to_date = _to_date(axis)
    if to_date:
        return [to_date(n).isoformat() if math.isfinite(n) else None for n in numbers]
    return [_number(n) for n in numbers]


def _number(value):
    value = float(value)
    return value if math.isfinite(value) else None


def _name_at(axis, place):
    """The label of the tick there."""
    ticks = list(axis.get_majorticklocs())
    for tick, label in zip(ticks, axis.get_major_formatter().format_ticks(ticks)):
        if label and math.isclose(tick, place, abs_tol=1e-9):
            return str(label)
    return f"{place:g}"


def _given(artist):
    """Its label, unless it is one that matplotlib has made up."""
    label = str(artist.get_label() or "")
    return "" if label.startswith("_") else label


# --- the kinds ---


def _points(artist, axes, xs, ys):
    xs, ys = _values(axes.xaxis, xs), _values(axes.yaxis, ys)
    return {"label": _given(artist), "points": [list(p) for p in zip(xs, ys)]}


def _lines(axes):
    # The data has all that was drawn; of a reference line (axhline) it has the ends on the axes.
    return [_points(line, axes, *line.get_data(orig=False)) for line in axes.lines]


def _dots(axes):
    from matplotlib.collections import PathCollection

    dots = [c for c in axes.collections if isinstance(c, PathCollection)]
    return [_points(d, axes, d.get_offsets()[:, 0], d.get_offsets()[:, 1]) for d in dots]


def _bars(axes):
    from matplotlib.container import BarContainer

    elements = []
    for group in axes.containers:
        if not isinstance(group, BarContainer):
            continue
        lying = getattr(group, "orientation", None) == "horizontal"
        for bar in group.patches:
            if lying:
                place, value, axis = bar.get_y() + bar.get_height() / 2, bar.get_width(), axes.yaxis
            else:
                place, value, axis = bar.get_x() + bar.get_width() / 2, bar.get_height(), axes.xaxis
            label = _name_at(axis, place)
            elements.append({"label": label, "group": _given(group), "value": _number(value)})
    return elements


def _wedges(axes):
    from matplotlib.patches import Wedge

    return [
        {
            "label": _given(wedge),
            "angle": _number(wedge.theta2 - wedge.theta1),
            "radius": _number(wedge.r),
        }
        for wedge in axes.patches
        if isinstance(wedge, Wedge)
    ]


def _boxes(axes):
    """A box plot is drawn with lines and patches like any other: it is known by its shapes."""
    standing = _shapes(axes, lambda x, y: (x, y))
    return _boxes_of(axes.xaxis, standing) or _boxes_of(
        axes.yaxis, _shapes(axes, lambda x, y: (y, x))
    )


def _shapes(axes, turned):
    """(across, along, whether only its points are drawn) of each line and patch."""
    from matplotlib.patches import PathPatch

    shapes = []
    for line in axes.lines:
        dots = line.get_linestyle() in ("None", "none", " ", "")
        shapes.append((*turned(*(list(map(float, d)) for d in line.get_data(orig=False))), dots))
    for patch in axes.patches:
        if isinstance(patch, PathPatch):
            corners = patch.get_path().vertices[:5]
            shapes.append((*turned([float(c[0]) for c in corners],
                                   [float(c[1]) for c in corners]), False))
    return shapes


def _boxes_of(axis, shapes):
    boxes = []
    for across, along, dots in shapes:
        corners = list(zip(across, along))
        if not dots and len(corners) == 5 and corners[0] == corners[4] and len(set(corners)) >= 3:
            box = _box(across, along, shapes)
            if box is not None:
                boxes.append({"label": _name_at(axis, sum(across[:4]) / 4), **box})
    return boxes


def _box(across, along, shapes):
    """What belongs to the box: whiskers at its middle, the median as wide as it, dots beyond. None
    without whiskers or a median: it is another rectangle."""
    left, right, low, high = min(across), max(across), min(along), max(along)
    middle = (left + right) / 2
    ends, median, outliers = {}, None, []
    for xs, ys, dots in shapes:
        at_middle = bool(xs) and all(math.isclose(x, middle, abs_tol=1e-9) for x in xs)
        if dots:
            outliers += [_number(y) for y in ys] if at_middle else []
        elif len(xs) == 2 and at_middle:
            if math.isclose(max(ys), low):
                ends["min"] = min(ys)
            if math.isclose(min(ys), high):
                ends["max"] = max(ys)
        elif len(xs) == 2 and ys[0] == ys[1] and math.isclose(min(xs), left) and low <= ys[0] <= high:
            median = ys[0] if math.isclose(max(xs), right) else median
    if len(ends) < 2 or median is None:
        return None
    return {
        **ends,
        "first_quartile": low,
        "median": median,
        "third_quartile": high,
        "outliers": outliers,
    }
