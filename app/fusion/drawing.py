"""The drawing of a fusion report, as SVG: a closed group is a bar; an open one shows each operator before fusion inside the frame of the
block that takes it in, and under the frames the kernels that are left. Pure: a report in, text out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from app import theme, wording
from app.fusion.groups import Group, Report, reasons, short_name
from app.fusion.layout import Placed, place
from compiler.counts import COMPUTE_INTENSIVE

WIDTH_PX = 1112
NODE_W, NODE_H = 74, 21
COLUMN, ROW = 80, 31  # from one operator to the next
PAD = 10
HEAD = 24  # a frame's title
GAP = 14  # between frames
BAR_H = 34
ARROW = 20  # between groups
KERNEL_H = 76
KERNEL_W = 138  # at least
LINK = 26  # from a frame to its kernel
BOW = 18  # of an edge that passes by a kernel
ASIDE = 22  # of an edge that passes by operators
REASONS = 2  # lines of a kernel
SHORT = {
    "permute_dims": "transpose",
    "expand_dims": "expand",
    "nn.softmax": "softmax",
    "nn.conv1d": "conv1d",
    "nn.conv2d": "conv2d",
}


@dataclass
class Frame:
    """A block in an open group: where it stands, and its operators in it."""

    block: int
    placed: Placed
    x: float = 0.0
    y: float = 0.0
    height: float = 0.0

    @property
    def width(self) -> float:
        return max(self.placed.width * COLUMN + 2 * PAD, KERNEL_W)


def draw(report: Report, groups: Sequence[Group], opened: Collection[str], *, dark: bool = False) -> str:
    """The whole program from top to bottom; groups whose keys are in `opened` in detail."""
    pen = _Pen(report, dark)
    y = 2.0
    for number, group in enumerate(groups):
        if number:
            pen.arrow(WIDTH_PX / 2, y, WIDTH_PX / 2, y + ARROW)
            y += ARROW
        y = pen.open_group(group, y) if group.key in opened else pen.bar(group, y)
    summary = (
        f"{report['layers_before']['total']} layers of computation before LP-Fusion, {report['kernels_after']} kernels after"
    )
    return pen.page(y + 2, f"{report['architecture']}: {summary}")


class _Pen:
    """Writes elements of one SVG."""

    def __init__(self, report: Report, dark: bool) -> None:
        self.report = report
        self.ink = theme.ink(dark)
        self.box = "#1C222B" if dark else "#F3F5F8"
        self.parts: list[str] = []
        self.width = float(WIDTH_PX)

    def page(self, height: float, label: str) -> str:
        width, height = round(self.width), round(height)
        arrow = (
            '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
            f'<path d="M0 0L8 4L0 8z" fill="{self.ink.line}"/></marker></defs>'
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="group" '
            f'aria-label="{escape(label)}" font-family="Source Sans, sans-serif" font-size="12">{arrow}{"".join(self.parts)}</svg>'
        )

    def bar(self, group: Group, y: float) -> float:
        """A closed group in a line."""
        each = " each" if group.repeats > 1 else ""
        layers, kernels = wording.plural(group.layers, "layer"), wording.plural(group.kernels, "kernel")
        change = f"{_size(group.bytes_before)} written, {_size(group.bytes_after)} after"
        self._button(group, "Open")
        self._rect(0.5, y, WIDTH_PX - 1, BAR_H, self.box, self.ink.grid)
        self._text(14, y + 22, f"+  {group.title}: {layers} of computation, {kernels}{each}", weight=600, size=14)
        self._text(WIDTH_PX - 14, y + 22, change, anchor="end")
        self.parts.append("</g>")
        return y + BAR_H

    def open_group(self, group: Group, y: float) -> float:
        """Frames in lines, each line's kernels under it."""
        top = y
        title = f"{group.title}: one of them" if group.repeats > 1 else group.title
        inside = len(self.parts)
        y += 34
        lines = self._lines(group)
        every = [frame for line in lines for frame in line]
        for frames in lines:
            y = self._line(frames, y) + 14
        self._edges_between(every)
        for frame in every:
            self._operators(frame)
        self.parts.insert(inside, self._rect_text(0.5, top, WIDTH_PX - 1, y - top - 4))
        self._button(group, "Close")
        self._text(14, top + 22, f"−  {title}", weight=600, size=14)
        self.parts.append("</g>")
        return y - 4

    def _button(self, group: Group, verb: str) -> None:
        """Begins what opens or closes a group at a click (`app.fusion.canvas`)."""
        label = escape(f"{verb} {group.title}")
        self.parts.append(
            f'<g data-group="{group.key}" role="button" tabindex="0" aria-label="{label}" style="cursor:pointer">'
        )

    def arrow(self, x: float, y: float, to_x: float, to_y: float) -> None:
        self.parts.append(
            f'<path d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}" stroke="{self.ink.line}" fill="none" marker-end="url(#end)"/>'
        )

    def _lines(self, group: Group) -> list[list[Frame]]:
        """Frames from left to right, as many in a line as the page is wide."""
        graph = self.report["graph"]
        lines: list[list[Frame]] = [[]]
        x = float(GAP)
        for block in group.blocks:
            members = [number for number, each in enumerate(graph) if each["blocks"][:1] == [block]]
            frame = Frame(block, place(members, graph))
            if lines[-1] and x + frame.width + GAP > WIDTH_PX:
                lines.append([])
                x = float(GAP)
            frame.x = x
            x += frame.width + GAP
            lines[-1].append(frame)
            self.width = max(self.width, x)
        return lines

    def _line(self, frames: Sequence[Frame], y: float) -> float:
        """Frames and their kernels; what is in the frames is drawn when all of them have their place."""
        height = HEAD + max(frame.placed.ranks for frame in frames) * ROW + PAD
        below = y + height + LINK
        for number, frame in enumerate(frames):
            frame.y, frame.height = y, HEAD + max(frame.placed.ranks, 1) * ROW + PAD
            self._rect(frame.x, frame.y, frame.width, frame.height, self.ink.paper, theme.GREEN, dashed=True)
            count = wording.plural(len(self.report["blocks"][frame.block]["members"]), "operator")
            self._text(frame.x + PAD, frame.y + 17, count)
            middle = frame.x + frame.width / 2
            self.parts.append(
                f'<path d="M{middle:.1f} {y + frame.height:.1f}L{middle:.1f} {below:.1f}" stroke="{theme.GREEN}" stroke-width="2" '
                'stroke-dasharray="4 3" fill="none"/>'
            )
            self._kernel(frame, below)
            if number:
                self._between_kernels(frames, number, below)
        return below + KERNEL_H + BOW

    def _operators(self, frame: Frame) -> None:
        graph = self.report["graph"]
        for number in frame.placed.at:
            for source in graph[number]["inputs"]:
                if source in frame.placed.at:
                    self._edge_within(frame, source, number)
        for number, (rank, column) in frame.placed.at.items():
            each = graph[number]
            x, y = self._corner(frame, rank, column)
            heavy = each["operator"] in COMPUTE_INTENSIVE
            facts = f"{each['operator']}: writes {_size(each['bytes'])}"
            facts += f", {each['flops'] / 1e6:.1f} MFLOPs" if each["flops"] else ""
            fill, ink = (theme.BLUE, "#FFFFFF") if heavy else (self.box, self.ink.text)
            self.parts.append(
                f"<g><title>{escape(facts)}</title>"
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{NODE_W}" height="{NODE_H}" rx="4" fill="{fill}" stroke="{self.ink.line}" stroke-width="0.7"/>'
                f'<text x="{x + NODE_W / 2:.1f}" y="{y + 15:.1f}" text-anchor="middle" fill="{ink}">{escape(_called(each["operator"]))}</text></g>'
            )

    def _edge_within(self, frame: Frame, source: int, reader: int) -> None:
        """Straight to the next rank; around the operators between, where there are any."""
        (x, y), (to_x, to_y) = self._foot(frame, source), self._head(frame, reader)
        if frame.placed.at[reader][0] == frame.placed.at[source][0] + 1 or abs(to_x - x) > NODE_W:
            self.arrow(x, y, to_x, to_y)
            return
        way = -1 if to_x > x else 1  # on the side where the reader is not
        side, to_side = x + way * NODE_W / 2, to_x + way * NODE_W / 2
        bend = way * (max(way * side, way * to_side) + ASIDE)
        y, to_y = y - NODE_H / 2, to_y + NODE_H / 2
        self.parts.append(
            f'<path d="M{side:.1f} {y:.1f}C{bend:.1f} {y:.1f} {bend:.1f} {to_y:.1f} {to_side:.1f} {to_y:.1f}" stroke="{self.ink.line}" '
            'fill="none" marker-end="url(#end)"/>'
        )

    def _kernel(self, frame: Frame, y: float) -> None:
        block = self.report["blocks"][frame.block]
        self._rect(frame.x, y, frame.width, KERNEL_H, self.box, theme.GREEN, thick=2)
        self._text(frame.x + PAD, y + 18, short_name(block), weight=600, size=13)
        self._text(frame.x + PAD, y + 35, f"{_size(block['bytes_before'])} to {_size(block['bytes_after'])}")
        why = reasons(block) or ["alone"]
        lines = why[:REASONS]
        if len(why) > REASONS:
            lines[-1] += f" +{len(why) - REASONS}"
        whole = "; ".join(filter(None, (block["law"], block["rule"]))) or "alone: nothing to fuse it with"
        self.parts.append(f"<g><title>{escape(whole)}</title>")
        for number, line in enumerate(lines):
            self._text(frame.x + PAD, y + 52 + 15 * number, line, size=11)
        self.parts.append("</g>")

    def _between_kernels(self, frames: Sequence[Frame], number: int, y: float) -> None:
        """What a kernel reads of those before it in its line: a straight arrow from the next one, a bow from others."""
        places = {frame.block: frame for frame in frames}
        reader = frames[number]
        for source in self.report["blocks"][reader.block]["inputs"]:
            if source not in places:
                continue
            from_frame = places[source]
            if from_frame is frames[number - 1]:
                self.arrow(from_frame.x + from_frame.width, y + KERNEL_H / 2, reader.x, y + KERNEL_H / 2)
            else:
                x, end = from_frame.x + from_frame.width / 2, reader.x + reader.width / 2
                below = y + KERNEL_H
                self.parts.append(
                    f'<path d="M{x:.1f} {below}C{x:.1f} {below + BOW} {end:.1f} {below + BOW} {end:.1f} {below}" '
                    f'stroke="{self.ink.line}" fill="none" marker-end="url(#end)"/>'
                )

    def _edges_between(self, frames: Sequence[Frame]) -> None:
        """Edges of the program before fusion from one block's operators to another's."""
        where = {number: frame for frame in frames for number in frame.placed.at}
        for number, frame in where.items():
            for source in self.report["graph"][number]["inputs"]:
                other = where.get(source)
                if other is None or other is frame:
                    continue
                (x, y), (to_x, to_y) = self._foot(other, source), self._head(frame, number)
                reach = max(24.0, abs(to_x - x) / 4)
                self.parts.append(
                    f'<path d="M{x:.1f} {y:.1f}C{x:.1f} {y + 24:.1f} {to_x - reach:.1f} {to_y - 18:.1f} {to_x:.1f} {to_y:.1f}" '
                    f'stroke="{self.ink.line}" stroke-width="0.8" fill="none" marker-end="url(#end)"/>'
                )

    def _corner(self, frame: Frame, rank: int, column: float) -> tuple[float, float]:
        left = frame.x + (frame.width - frame.placed.width * COLUMN) / 2 + (COLUMN - NODE_W) / 2
        return left + column * COLUMN, frame.y + HEAD + rank * ROW + 4

    def _head(self, frame: Frame, number: int) -> tuple[float, float]:
        x, y = self._corner(frame, *frame.placed.at[number])
        return x + NODE_W / 2, y

    def _foot(self, frame: Frame, number: int) -> tuple[float, float]:
        x, y = self._head(frame, number)
        return x, y + NODE_H

    def _rect(
        self, x: float, y: float, width: float, height: float, fill: str, stroke: str, *, thick: float = 1, dashed: bool = False
    ) -> None:
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="6" fill="{fill}" stroke="{stroke}" '
            f'stroke-width="{thick}"{dash}/>'
        )

    def _rect_text(self, x: float, y: float, width: float, height: float) -> str:
        return (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, self.width - 1):.1f}" height="{height:.1f}" rx="6" fill="none" '
            f'stroke="{self.ink.grid}"/>'
        )

    def _text(self, x: float, y: float, text: str, *, weight: int = 400, size: int = 12, anchor: str = "start") -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{self.ink.text}" font-weight="{weight}" font-size="{size}" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )


def _called(operator: str) -> str:
    return SHORT.get(operator, operator.removeprefix("nn."))[:12]


def _size(count: float) -> str:
    """Bytes in the unit that reads best."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def columns(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Blocks as rows of a table, every reason in full."""
    measured = report.get("measured", {}).get("kernels_us") or []
    return [
        {
            "Block": block["name"],
            "Members": len(block["members"]),
            "Operators": ", ".join(_called(each) for each in block["members"]),
            "Law": block["law"],
            "Pattern": block["rule"],
            "kB before": block["bytes_before"] / 1e3,
            "kB after": block["bytes_after"] / 1e3,
            "MFLOPs": block["flops_after"] / 1e6,
            **({"Measured (µs)": measured[place]} if len(measured) == len(report["blocks"]) else {}),
        }
        for place, block in enumerate(report["blocks"])
    ]
