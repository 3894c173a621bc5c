"""Lossatlas: loss landscapes as a service. The client.

import lossatlas

client = lossatlas.Client()
lossatlas.export_model(network, example_inputs, "network.pt2")
model = client.push_model("network.pt2", project="vision", name="resnet20")
checkpoint = client.push_checkpoint(model, network, label="final")
data = client.push_dataset(images, labels, project="vision", name="test")
landscape = client.surface(checkpoint, [data], num=51).wait()
landscape.save_figure("surface.png")
"""

from lossatlas.aio import AsyncClient, AsyncJob, AsyncLandscape
from lossatlas.callbacks import Run, training
from lossatlas.client import Client
from lossatlas.curvature import Curvature
from lossatlas.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    DatasetInvalidError,
    ExportError,
    FieldError,
    ForbiddenError,
    IncompatibleInputsError,
    InputError,
    InvalidRequestError,
    JobCancelled,
    JobFailed,
    LossatlasError,
    NotComparableError,
    NotFoundError,
    PreconditionFailedError,
    ProblemError,
    ProgramRefusedError,
    RateLimitedError,
    ServerError,
    ServiceUnreachable,
    UnavailableError,
    WaitTimeout,
    WeightsInvalidError,
)
from lossatlas.exporting import export_model, save_dataset, save_weights
from lossatlas.grids import Counted, DatasetValues, Grid
from lossatlas.jobs import Job
from lossatlas.landscapes import Landscape
from lossatlas.listing import Listing
from lossatlas.sampling import Adaptive
from lossatlas.trajectories import Trajectory, TrajectoryRun
from lossatlas.values import Alias, Check, Checkpoint, Dataset, Direction, Model, Progress

__all__ = [
    "Adaptive",
    "Alias",
    "AsyncClient",
    "AsyncJob",
    "AsyncLandscape",
    "AuthenticationError",
    "Check",
    "Checkpoint",
    "Client",
    "ConfigurationError",
    "ConflictError",
    "Counted",
    "Curvature",
    "Dataset",
    "DatasetInvalidError",
    "DatasetValues",
    "Direction",
    "ExportError",
    "FieldError",
    "ForbiddenError",
    "Grid",
    "IncompatibleInputsError",
    "InputError",
    "InvalidRequestError",
    "Job",
    "JobCancelled",
    "JobFailed",
    "Landscape",
    "Listing",
    "LossatlasError",
    "Model",
    "NotComparableError",
    "NotFoundError",
    "PreconditionFailedError",
    "ProblemError",
    "ProgramRefusedError",
    "Progress",
    "RateLimitedError",
    "Run",
    "ServerError",
    "ServiceUnreachable",
    "Trajectory",
    "TrajectoryRun",
    "UnavailableError",
    "WaitTimeout",
    "WeightsInvalidError",
    "export_model",
    "save_dataset",
    "save_weights",
    "training",
]
