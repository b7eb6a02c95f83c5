"""Operations and plans as data: definitions and fused kernels agree, plans are printed, and costs are summed."""

import inspect

import numpy as np
import pytest
import scipy.sparse

from sknn._backend import operations as ops
from sknn._backend import protocol, reference
from tests.support import operations_page
from tests.support.backends import BACKENDS
from tests.support.kernels import each_dtype
from tests.support.operations import arrays_of, copied, example
from tests.support.scenarios import SCENARIOS, train

FUSED = operations_page.FUSED
each_operation = pytest.mark.parametrize("operation", ops.OPERATIONS, ids=lambda cls: cls.__name__)
each_fused_backend = pytest.mark.parametrize("name", FUSED)
SCRATCH = {ops.Update: {"grad"}}  # operands that an operation leaves undefined


# ---- every operation --------------------------------------------------------------------


@each_dtype
@each_fused_backend
@each_operation
@pytest.mark.fast_share(3)
def test_a_fused_kernel_writes_the_values_of_the_definition(operation, name, dtype):
    """Every operation that a backend has fused kernels for is found here; other tests look closer at some."""
    backend = BACKENDS[name]
    defined = example(operation, dtype)
    fused = copied(defined)
    assert backend.fused.keys() == FUSED[name].keys()
    if operation in FUSED[name]:
        assert backend.fused[operation](fused) is not None
    defined.define(np)
    backend.execute(fused)
    for operand, expected in arrays_of(defined).items():
        if operand not in SCRATCH.get(operation, ()):
            tolerance = 100 * np.finfo(dtype).eps
            np.testing.assert_allclose(
                arrays_of(fused)[operand], expected, rtol=tolerance, atol=tolerance, err_msg=operand
            )


@each_operation
def test_an_operation_changes_an_operand(operation):
    """An example on which nothing happens would compare nothing."""
    before = example(operation)
    after = copied(before)
    after.define(np)
    pairs = zip(arrays_of(before).values(), arrays_of(after).values(), strict=True)
    assert not all(np.array_equal(mine, other) for mine, other in pairs)


@each_operation
def test_an_operation_shows_the_types_and_shapes_of_its_operands(operation):
    shown = repr(example(operation))
    assert shown.startswith(f"{operation.__name__}(")
    for name, value in example(operation).operands():
        expected = f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__
        if isinstance(value, np.ndarray | tuple):
            assert f"{name}={expected}" in shown


@each_operation
def test_an_operation_is_documented(operation):
    assert inspect.getdoc(operation)[-1] == "."


# ---- plans ------------------------------------------------------------------------------


def test_the_cost_of_a_product_is_that_of_its_shapes():
    product = ops.MatMul(np.zeros((2, 3, 5)), np.zeros((2, 5, 7)), np.zeros((2, 3, 7)))
    assert product.cost() == (2 * 2 * 3 * 5 * 7, 8 * 2 * (3 * 5 + 5 * 7 + 3 * 7))


def test_a_gather_moves_the_rows_of_its_batch_and_not_the_table():
    gather = ops.Gather(np.zeros((1000, 5)), np.zeros((1, 1000), int), np.zeros(3, int), np.zeros((1, 4, 5)))
    assert gather.cost() == (0, 2 * 4 * 5 * 8)


def test_the_cost_of_a_sparse_product_is_that_of_its_stored_values():
    X = scipy.sparse.csr_matrix(np.eye(4, 100))
    product = ops.SparseProduct(ops.CSRStack.of([X]), np.zeros((2, 100, 3)), np.zeros((2, 4, 3)))
    assert product.cost() == (2 * 2 * 4 * 3, 2 * 4 * ops.CSR_BYTES + 8 * 2 * 3 * (100 + 4))


class PlanRecorder(reference.Backend):
    """A backend that keeps the plans that it compiles."""

    def __init__(self):
        super().__init__(np)
        self.plans = []

    def compile(self, plan):
        self.plans.append(plan)
        return super().compile(plan)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.fast_share(5)
def test_each_operation_of_a_training_step_is_printed_with_its_cost(name):
    recorder, scenario = PlanRecorder(), SCENARIOS[name]
    with np.errstate(all="ignore"):  # a model diverges
        train(scenario, recorder, shared=True, models=range(len(scenario.options.optimizers)))
    for plan in recorder.plans:
        assert len(str(plan).splitlines()) == len(plan)
        assert " object at 0x" not in str(plan)
        assert all(operation.cost().bytes > 0 for operation in plan)


def test_a_plan_is_printed_line_by_line_with_costs_that_add_up():
    plan = ops.Plan([example(ops.Gather), example(ops.MatMul)])
    lines = str(plan).splitlines()
    assert len(lines) == 2 and lines[1].startswith(
        "MatMul(a=float64[3, 7, 5], b=float64[3, 5, 6], out=float64[3, 7, 6])"
    )
    assert plan.cost() == tuple(np.sum([operation.cost() for operation in plan], axis=0))
    assert f"{plan[1].cost().operations:,} operations" in lines[1]


# ---- the contract of a backend ----------------------------------------------------------


def public(cls):
    """Return the public names of a class, but for those of the language."""
    return {name for name in {*dir(cls), *getattr(cls, "__annotations__", {})} if not name.startswith("_")}


@pytest.mark.parametrize("name", BACKENDS)
def test_backends_have_all_that_the_protocol_asks_for(name):
    assert public(protocol.Backend) <= public(type(BACKENDS[name])) | vars(BACKENDS[name]).keys()


def test_the_protocol_asks_for_all_that_the_reference_has():
    for_derived_backends = {"fused"}
    assert public(reference.Backend) - for_derived_backends <= public(protocol.Backend)


@pytest.mark.parametrize("name", BACKENDS)
def test_methods_have_the_operands_of_the_protocol(name):
    for method in public(protocol.Backend):
        asked = getattr(protocol.Backend, method, None)
        if inspect.isfunction(asked):
            offered = inspect.signature(getattr(type(BACKENDS[name]), method)).parameters
            assert list(offered) == list(inspect.signature(asked).parameters), method


def test_the_page_of_fused_kernels_is_current():
    assert operations_page.PAGE.read_text(encoding="utf-8") == operations_page.page(), (
        "run python -m tests.support.operations_page"
    )
