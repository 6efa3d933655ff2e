"""What the demo does with its best run: registers it as a version, asks a gate, and moves an alias to it.

The gate compares it, image by image, with the version that the alias points to: the first version is promoted if it is good
at all, and a later one if it is not surely worse.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.client import Client
from penstock.errors import Conflict, NotFound

if TYPE_CHECKING:
    from penstock.api.registry.v1 import gate_pb2
    from penstock_local.demo import DemoRun

__all__ = ["ALIAS", "MODEL", "Registered", "register_best"]

MODEL = "digits-reader"
ALIAS = "production"
ACCURACY_MIN = 0.8
REGRESSION_MAX = 0.02


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of a run.

    Attributes:
        version: `MODEL/number`.
        passed: Whether it passed the gate.
        promoted: Whether the alias points to it.
    """

    version: str
    passed: bool
    promoted: bool

    @property
    def sentence(self) -> str:
        """For people."""
        ended = "passed the gate" if self.passed else "did not pass the gate"
        where = f", and {ALIAS} points to it" if self.promoted else ""
        return f"Registered {self.version}, which {ended}{where}."


def register_best(best: "DemoRun") -> Registered:
    """Registers the model of a run that ended well. Raises `PenstockError`."""
    from penstock.api.registry.v1 import model_pb2

    assert best.run is not None, "it ended well"
    assert best.model is not None, "it ended well"
    metrics = [
        model_pb2.ModelMetric(
            key="validation/accuracy",
            value=best.validation_accuracy,
            samples=[float(one) for one in best.validation_correct],
        ),
        model_pb2.ModelMetric(key="validation/loss", value=best.validation_loss),
    ]
    signature = model_pb2.ModelSignature(
        inputs=[model_pb2.ModelField(name="image", datatype="FP64", shape=[-1, 64])],
        outputs=[model_pb2.ModelField(name="digit", datatype="INT64", shape=[-1])],
    )
    whole = model_pb2.ModelVersion(
        metrics=metrics,
        signature=signature,
        flavors=[model_pb2.ModelFlavor(name="skops", options=best.model.options)],
        datasets=[model_pb2.ModelDataset(name="scikit-learn digits", context="training")],
        size_bytes=best.model.size_bytes,
    )
    project = best.plan.project
    with Client() as client:
        # A repeat for the same run finds the version that was made for it.
        version = client.register_version(
            MODEL,
            whole,
            project=project,
            run=best.run,
            artifact_manifest=best.model.manifest,
            artifact_version=best.model.artifact_version,
            request_id=best.run[-32:],
        )
        name = version.name
        try:
            client.gate_policy(MODEL, project=project)
        except NotFound:
            client.set_gate_policy(MODEL, _policy(), project=project)
        verdict = client.check_gate(name)
        promoted = False
        if verdict.passed:
            try:
                client.promote(name, ALIAS, reason=f"validation accuracy {best.validation_accuracy:.3f} in the demo")
                promoted = True
            except Conflict:
                promoted = False  # another demo was quicker, or somebody asks for approvals by now
    return Registered(f"{MODEL}/{version.number}", verdict.passed, promoted)


def _policy() -> "gate_pb2.GatePolicy":
    from penstock.api.registry.v1 import gate_pb2

    return gate_pb2.GatePolicy(
        description="Made by the demo.",
        checks=[
            gate_pb2.GateCheck(
                id="accuracy", threshold=gate_pb2.ThresholdCheck(metric="validation/accuracy", min=ACCURACY_MIN)
            ),
            gate_pb2.GateCheck(
                id="no-worse",
                delta=gate_pb2.DeltaCheck(
                    metric="validation/accuracy",
                    alias=ALIAS,
                    goal=gate_pb2.METRIC_GOAL_MAXIMIZE,
                    regression_max=REGRESSION_MAX,
                ),
            ),
            gate_pb2.GateCheck(id="same-clients", signature=gate_pb2.SignatureCheck(alias=ALIAS)),
        ],
        protected_aliases=[gate_pb2.ProtectedAlias(alias=ALIAS, gate_required=True)],
    )
