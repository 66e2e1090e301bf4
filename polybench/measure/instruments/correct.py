"""Whether what is timed computes the right thing: on fresh data, against float64, to what rounding explains."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from polybench.errors import Wrong
from polybench.measure.instruments.precision import forward_backward, zeros_for_none
from polybench.measure.instruments.rounding import disturbed, unit_roundoff
from polybench.measure.model.build import Executed, generator
from polybench.registry import activations

# Dimension key: N rows, M those that are held to float64, F hidden width, G branches; P the shape of a result,
# R evaluations of it: the exact one, K disturbed ones, two with the input moved.

RUNS = 3  # disturbed runs that tell how far rounding carries
# A value may be this many times further off than the disturbed runs were. Functions of a library are one operation
# to them but many roundings: gelu of torch 2.13 on the CPU needs 15, every other activation 3.
ELEMENT = 32
# A norm may be this many times larger. The disturbance has standard deviation u, three times that of rounding to
# nearest, and a norm averages over its values: the most that was seen is 0.7.
WHOLE = 2
# Where rounding before a kink can cross it, the gradient is that of either side: the input moved by so many u.
KINK = 4
DERIVATIVE = 1e-4  # of the gradient's norm; a hundredth of the one percent that must be seen
STEP = 1e-6  # of central differences; kinks and curvature err by its order, cancellation by u64 / STEP = 1e-10
COARSER = 100  # times both where float32 is computed in, whose cancellation would hide all at such a step
HELD = 2**16  # elements that are held to float64, a tenth of a second of one core; further rows get no gradient
DERIVATIVE_AT = 2**16  # elements at which the derivative is looked at
ONE_BY_ONE = 8  # parameters of up to so many numbers are differentiated number by number


def verify(activation: Executed, rows: int, dtype: torch.dtype, device: str, seed: int) -> None:
    """Hold the `call` of an activation, by a backend, to its module's own formula in float64.

    Input (rows, G*F) and output gradient (rows, F) are drawn from N(0, 1) by `seed` and rounded to `dtype`; the
    parameters are taken as they are. The input is a contiguous leaf that requires its gradient, as in a timing, so
    `call` is not compiled again. It is called twice; no `.grad` is written, no generator moved. Of more than `HELD`
    elements some rows are looked at, the first and the last among them, others by the seed.

    An activation registered with `surrogate_gradient=True` is not held to the derivative, only to its own gradient
    in float64.

    Raises:
        Wrong: the output or a gradient is further from float64 than rounding explains, or not finite where float64
            is; the gradient of the formula is not its derivative; the input or the output's gradient was changed;
            an output lies in the memory of the input or of another output.
    """
    module, call, width = activation.module, activation.call, activation.width
    reference = copy.deepcopy(module).double()
    x_NxGF = _normal((rows, width), seed, "x", device).to(dtype).requires_grad_()
    x_before = x_NxGF.detach().clone()
    y_NxF = call(x_NxGF)
    if y_NxF.dtype != dtype:
        raise Wrong(f"the output is {_named(y_NxF.dtype)}, not {_named(dtype)}")
    held_M = _rows_held(rows, width, seed).to(device)
    dy_NxF = torch.zeros_like(y_NxF, requires_grad=False)
    dy_NxF[held_M] = _normal((len(held_M), *y_NxF.shape[1:]), seed, "dy").to(device, dtype)
    dy_before = dy_NxF.clone()
    parameters = _trained(module)
    gradients = torch.autograd.grad(y_NxF, (x_NxGF, *parameters), dy_NxF, allow_unused=True)
    again_NxF = call(x_NxGF)
    if _place(x_NxGF) in (_place(y_NxF), _place(again_NxF)):
        raise Wrong("the output lies in the memory of the input")
    if _place(y_NxF) == _place(again_NxF):
        raise Wrong("the outputs of two calls lie in the same memory")
    for what, now, before in (("input", x_NxGF, x_before), ("output's gradient", dy_NxF, dy_before)):
        if not torch.equal(now.detach(), before):
            raise Wrong(f"{int((now != before).sum())} of {before.numel()} values of the {what} were changed")
    dx_NxGF, *others = zeros_for_none(gradients, (x_NxGF, *parameters))
    leaked = dx_NxGF.count_nonzero() - dx_NxGF[held_M].count_nonzero()
    if leaked:
        raise Wrong(f"{leaked} values of the gradient to the input stand in rows whose output's gradient is zero")
    surrogate = bool(activations.facts_of(module).get("surrogate_gradient"))
    found = [y_NxF.detach()[held_M], dx_NxGF[held_M], *others]
    _near(reference, x_before[held_M], dy_before[held_M], found, surrogate)
    if not surrogate:
        _is_derivative(reference, width, device, seed)


def _near(reference: nn.Module, x_NxGF: Tensor, dy_NxF: Tensor, found: Sequence[Tensor], surrogate: bool) -> None:
    """Raises Wrong unless `found` (output, gradient to the input, to each parameter) is float64's but for rounding."""
    names = ["output", *(f"gradient to {name}" for name in _inputs_of(reference))]
    if surrogate:
        names[1:] = [f"surrogate {name}" for name in names[1:]]
    dtype, x, dy = found[0].dtype, x_NxGF.double(), dy_NxF.double()
    runs = [forward_backward(reference, _trained(reference), x, dy)]
    for run in range(RUNS):
        with disturbed(dtype, str(x.device), x.numel(), run):
            runs.append(forward_backward(reference, _trained(reference), x, dy))
    moved = KINK * unit_roundoff(dtype)
    runs += [forward_backward(reference, _trained(reference), x * (1 + way), dy) for way in (moved, -moved)]
    for name, values, exact_and_runs in zip(names, found, zip(*runs, strict=True), strict=True):
        _hold(name, values, torch.stack(exact_and_runs))


def _hold(name: str, found_P: Tensor, exact_and_runs_RxP: Tensor) -> None:
    """Raises Wrong where a value, the norm or the size along the exact result is off by more than rounding explains."""
    exact_P, runs_KxP, moved_2xP = exact_and_runs_RxP[0], exact_and_runs_RxP[1:-2], exact_and_runs_RxP[-2:]
    held_P = torch.isfinite(exact_P.to(found_P.dtype))
    lost = int((held_P & ~torch.isfinite(found_P)).sum())
    if lost:
        raise Wrong(f"{lost} of {found_P.numel()} values of the {name} are not finite where float64's are")
    held_P &= torch.isfinite(exact_and_runs_RxP).all(0)  # where rounding leads out of the domain, it explains anything
    dtype = found_P.dtype
    unit, where = unit_roundoff(dtype), f"where rounding in {_named(dtype)} explains"
    least = torch.finfo(dtype).smallest_normal * unit  # half the distance of numbers near zero
    error_P = torch.where(held_P, found_P.double() - exact_P, 0.0)
    noise_KxP = torch.where(held_P, runs_KxP - exact_P, 0.0)
    exact_P = torch.where(held_P, exact_P, 0.0)
    spread = math.sqrt(float(noise_KxP.square().mean()))

    reach_P = torch.where(held_P, moved_2xP - exact_P, 0.0).abs().amax(0)
    allowed_P = ELEMENT * (unit * exact_P.abs() + noise_KxP.abs().amax(0) + spread + least) + reach_P
    worst = int((error_P.abs() / allowed_P).argmax())
    off, allowed = float(error_P.abs().flatten()[worst]), float(allowed_P.flatten()[worst])
    if not off <= allowed:
        raise Wrong(f"a value of the {name} is {off:.2g} from float64's, {where} {allowed:.1g}")

    size, count = float(exact_P.norm()), math.sqrt(error_P.numel())
    off, allowed = float(error_P.norm()), WHOLE * (unit * size + (spread + least) * count)
    if not off <= allowed:
        raise Wrong(f"the {name} is {_share(off, size)} from float64's, {where} {_share(allowed, size)}")

    # Rounding has no direction, so that a result that is too large or too small as a whole shows earlier.
    along = [float((e * exact_P).sum()) for e in (error_P, *noise_KxP)]
    off, allowed = abs(along[0]), WHOLE * (unit * size**2 + math.hypot(*along[1:]) + least * count * size)
    if not off <= allowed:
        raise Wrong(f"the {name} is {_share(off, size**2)} too large or small, {where} {_share(allowed, size**2)}")


def _is_derivative(reference: nn.Module, width: int, device: str, seed: int) -> None:
    """Raises Wrong unless float64's gradients are the slopes of sum(dy * y), by central differences.

    Along itself a gradient shows a wrong size, along random signs what it lacks. Data are not rounded here, or
    many would lie on a kink exactly. A module that rounds to float32 inside is held to what that explains.
    """
    x_NxGF = _normal((max(1, DERIVATIVE_AT // width), width), seed, "derivative x").to(device)
    with torch.no_grad():
        dy_NxF = _normal(reference(x_NxGF).shape, seed, "derivative dy").to(device)
    parameters = _trained(reference)
    exact = forward_backward(reference, parameters, x_NxGF, dy_NxF)
    if lost := int((~torch.isfinite(exact[0])).sum()):
        raise Wrong(f"{lost} of {exact[0].numel()} values of the output are not finite for inputs of N(0, 1)")
    runs, dtype, step, share = [], torch.float64, STEP, DERIVATIVE
    if _is_narrow(reference, x_NxGF, exact[0]):
        dtype, step, share = torch.float32, COARSER * STEP, COARSER * DERIVATIVE
    for run in range(RUNS):
        with disturbed(dtype, device, x_NxGF.numel(), run):
            runs.append(forward_backward(reference, parameters, x_NxGF, dy_NxF))
    blur = max(float((dy_NxF * (run[0] - exact[0])).norm()) for run in runs) / step

    for i, (name, place) in enumerate(zip(_inputs_of(reference), [x_NxGF, *parameters], strict=True), start=1):
        gradient, size = exact[i], float(exact[i].norm())
        for direction in _directions(gradient, seed):
            difference = _moved(reference, x_NxGF, place, step * direction)
            difference -= _moved(reference, x_NxGF, place, -step * direction)
            slope, claimed = float((dy_NxF * difference).sum()) / (2 * step), float((gradient * direction).sum())
            noise = max(abs(float(((run[i] - gradient) * direction).sum())) for run in runs)
            allowed = share * max(size, abs(claimed)) + ELEMENT * (noise + blur)
            if not abs(slope - claimed) <= allowed:
                raise Wrong(
                    f"the gradient to {name} is not the derivative of the output: it gives a slope of {claimed:.6g} "
                    f"where central differences in float64 give {slope:.6g} (off by {abs(slope - claimed):.2g}, "
                    f"allowed {allowed:.1g}); a surrogate is registered with surrogate_gradient=True"
                )


@torch.no_grad()
def _is_narrow(reference: nn.Module, x_NxGF: Tensor, y_NxF: Tensor) -> bool:
    """Whether what comes in or goes out is rounded to float32, as by a module that takes float32 for wide enough."""
    return torch.equal(y_NxF, y_NxF.float().double()) or torch.equal(y_NxF, reference(x_NxGF.float().double()))


def _directions(gradient: Tensor, seed: int) -> Iterator[Tensor]:
    """Steps of size one at most: number by number where they are few, else along the gradient and random signs."""
    if gradient.numel() <= ONE_BY_ONE:
        for unit in torch.eye(gradient.numel(), dtype=gradient.dtype, device=gradient.device):
            yield unit.view(gradient.shape)
        return
    largest = float(gradient.abs().max())
    if largest > 0:
        yield gradient / largest
    yield _normal(gradient.shape, seed, "direction").to(gradient.device).sign()


@torch.no_grad()
def _moved(reference: nn.Module, x_NxGF: Tensor, place: Tensor, step: Tensor) -> Tensor:
    """The output with the input or a parameter moved by a step, and back again."""
    before = place.clone()
    place.add_(step)
    y_NxF: Tensor = reference(x_NxGF).clone()
    place.copy_(before)
    return y_NxF


def _rows_held(rows: int, width: int, seed: int) -> Tensor:
    """Which rows are looked at: all, or the first, the last and random ones between."""
    most = max(2, HELD // width)
    if rows <= most:
        return torch.arange(rows)
    between = 1 + torch.randperm(rows - 2, generator=generator(seed, "verify", "rows"))[: most - 2]
    return torch.cat([torch.tensor([0, rows - 1]), between]).sort().values


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters() if p.requires_grad]


def _inputs_of(module: nn.Module) -> list[str]:
    return ["the input", *(name for name, p in module.named_parameters() if p.requires_grad)]


def _normal(shape: Sequence[int], seed: int, what: str, device: str = "cpu") -> Tensor:
    """N(0, 1) in float64 by the seed and the kind of device: one core takes seconds for what a GPU is timed with."""
    draws = generator(seed, "verify", what)
    if device != "cpu":
        draws = torch.Generator(device).manual_seed(draws.initial_seed())
    return torch.randn(*shape, generator=draws, dtype=torch.float64, device=device)


def _place(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.2g} of its size" if whole else f"{part:.2g}"
