"""The formulas of `arithmetic` with a layer's own numbers filled in, as text.

    size         ⌊(32+2·0-5)/1⌋+1 = 28
    parameters   (1·5·5+1)·6 = 156
    MACs         28·28·6·(1·5·5) = 117,600

A formula is written only where it gives what was counted; else the text is empty.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convforge.analysis import arithmetic
from convforge.analysis.costs import BATCH_NORMS
from convforge.analysis.fields import windows_of
from convforge.analysis.rows import Geometry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from convforge.analysis.arithmetic import Window
    from convforge.analysis.trace import Call

ADAPTIVE = frozenset({"_adaptive_avg_pool2d", "adaptive_max_pool2d"})
MINUS = "\N{MINUS SIGN}"


def geometry_of(calls: Sequence[Call]) -> Geometry | None:
    """The one window among a layer's operators; None where it has none or several unlike ones."""
    found: list[Geometry] = []
    pads: tuple[Window, Window] | None = None
    for call in calls:
        windows = windows_of(call)
        if windows is None:
            continue
        if call.operator == "constant_pad_nd":
            pads = windows if max(*windows[0].pads, *windows[1].pads) else pads
            continue
        rows, columns = (windows[0], windows[1]) if pads is None else _padded(windows, pads)
        groups = call.arguments[8] if call.operator == "convolution" else 1
        found.append(Geometry(operator=call.operator, rows=rows, columns=columns, groups=groups))
        pads = None
    if pads is not None and not found:
        return Geometry(operator="constant_pad_nd", rows=pads[0], columns=pads[1])
    return found[0] if found and all(item == found[0] for item in found) else None


def size_formula(
    inputs: Sequence[Tensor], output: Tensor, *, calls: Sequence[Call], geometry: Geometry | None
) -> str:
    """How the shape of a layer's output follows from its inputs'; empty where it is the same."""
    if not inputs:
        return ""
    if geometry is None:
        return _shape_text(inputs, output, {call.operator for call in calls})
    text = _adaptive_text if geometry.operator in ADAPTIVE else _window_text
    sizes = zip(inputs[0].shape[-2:], output.shape[-2:], strict=True)
    windows = (geometry.rows, geometry.columns)
    rows, columns = (text(window, *size) for window, size in zip(windows, sizes, strict=True))
    return rows if rows == columns else f"rows {rows}, columns {columns}"


def parameter_formula(calls: Sequence[Call], parameters: int) -> str:
    """How a convolution, linear layer or batch normalisation comes to its parameters."""
    for call in calls:
        text, value = "", 0
        if call.operator == "convolution":
            text, value = _convolution_parameters(call)
        elif call.operator in {"addmm", "mm"}:
            inputs, outputs = call.inputs[-1].shape
            bias = call.operator == "addmm"
            text = f"({inputs}+1)·{outputs}" if bias else f"{inputs}·{outputs}"
            value = arithmetic.linear_parameters(inputs, outputs, bias=bias)
        elif call.operator in BATCH_NORMS:
            channels = call.inputs[0].shape[1]
            text, value = f"2·{channels}", arithmetic.batch_norm_parameters(channels)
        if text and value == parameters:
            return f"{text} = {value:,}"
    return ""


def mac_formula(calls: Sequence[Call], macs: int) -> str:
    """How a convolution or linear layer comes to its multiply-adds."""
    for call in calls:
        text, value = "", 0
        if call.operator == "convolution" and call.outputs[0].ndim == 4:
            output, weight = call.outputs[0], call.inputs[1]
            taps = "·".join(map(str, weight.shape[1:]))
            channels, height, width = output.shape[1:]
            text = f"{height}·{width}·{channels}·({taps})"
            value = arithmetic.convolution_macs(
                call.inputs[0].shape[1],
                channels,
                kernel_size=(weight.shape[2], weight.shape[3]),
                output_size=(height, width),
                groups=call.arguments[8],
            )
        elif call.operator in {"addmm", "mm"} and call.inputs[-2].shape[0] == 1:
            inputs, outputs = call.inputs[-1].shape
            text, value = f"{inputs}·{outputs}", arithmetic.linear_macs(inputs, outputs)
        if text and value == macs:
            return f"{text} = {value:,}"
    return ""


def _padded(windows: tuple[Window, Window], pads: tuple[Window, Window]) -> tuple[Window, Window]:
    rows, columns = (
        replace(
            window,
            padding=(window.pads[0] + pad.pads[0], window.pads[1] + pad.pads[1]),
        )
        for window, pad in zip(windows, pads, strict=True)
    )
    return rows, columns


def _shape_text(inputs: Sequence[Tensor], output: Tensor, operators: set[str]) -> str:
    source, result = inputs[0].shape[1:], output.shape[1:]
    if operators & {"addmm", "mm"} and source and result:
        return f"{source[-1]} → {result[-1]}"
    if "mean" in operators and len(source) == 3:
        return f"mean of {source[1]}×{source[2]}"  # noqa: RUF001 (the sign of multiplication)
    if operators == {"cat"} and len(result) == 3:
        return f"{'+'.join(str(tensor.shape[1]) for tensor in inputs)} = {result[0]}"
    if operators <= {"view", "_unsafe_view"} and len(result) == 1 < len(source):
        return f"{'·'.join(map(str, source))} = {result[0]}"
    return ""


def _window_text(window: Window, size: int, output: int) -> str:
    places = window.output_size(size)
    if places != output:
        return ""
    before, after = window.pads
    padding = f"2·{before}" if before == after else f"{before}+{after}"
    kernel = str(window.kernel)
    if window.dilation > 1:
        kernel = f"{window.dilation}·({window.kernel}{MINUS}1){MINUS}1"
    left, right = "⌊⌋" if window.rounding == "floor" else "⌈⌉"
    text = f"{left}({size}+{padding}{MINUS}{kernel})/{window.stride}{right}+1"
    if window.rounding == "ceil":
        hanging = -(-(size + before + after - window.extent) // window.stride) + 1
        text += f"{MINUS}1" if hanging > places else ""
    return f"{text} = {output}"


def _adaptive_text(window: Window, size: int, output: int) -> str:
    if size % output:
        return f"{size} → {output} by windows of {window.kernel} or fewer"
    return f"{size} → {output} by windows of {size}/{output} = {window.kernel}"


def _convolution_parameters(call: Call) -> tuple[str, int]:
    weight, groups, bias = call.inputs[1], call.arguments[8], len(call.inputs) > 2
    channels, *kernel = weight.shape[1:]
    if len(kernel) != 2:
        return "", 0
    shared = f"{channels * groups}/{groups}" if groups > 1 else str(channels)
    taps = f"{shared}·{kernel[0]}·{kernel[1]}"
    text = f"({taps}+1)·{weight.shape[0]}" if bias else f"{taps}·{weight.shape[0]}"
    return text, arithmetic.convolution_parameters(
        channels * groups,
        weight.shape[0],
        kernel_size=(kernel[0], kernel[1]),
        groups=groups,
        bias=bias,
    )
