"""A small recurrent network that reads κ off single trajectories."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from mmfields import samples
from mmfields.conventions import ArgumentError, SnapshotError, require_plain, require_whole
from mmfields.estimators.classical import UNITS_NOTE, steps_of
from mmfields.estimators.training import features
from mmfields.provenance import described
from mmfields.transport.reading import light, own_lengths
from mmfields.units import coefficient_attrs

try:
    import torch
    from torch import nn
except ImportError as error:
    raise ImportError(
        "LSTMDiffusion needs PyTorch: pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu, "
        "then pip install 'mmfields[nn]'"
    ) from error

HIDDEN, INPUTS = 32, 4
BATCH, RATE, PATIENCE, MOST_EPOCHS = 64, 1e-3, 12, 150
FORMAT = "mmfields lstm 1"


class _Network(nn.Module):
    """LSTM(32) and a dense layer: 4769 parameters, with one bias per gate."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(INPUTS, HIDDEN, batch_first=True)
        self.dense = nn.Linear(HIDDEN, 1)
        with torch.no_grad():  # PyTorch has two biases where one is enough
            self.lstm.bias_hh_l0.zero_()
        self.lstm.bias_hh_l0.requires_grad_(False)

    def forward(self, x: "torch.Tensor") -> "torch.Tensor":
        """Of steps that count first; those of NaN behind them are not looked at."""
        counts = ~torch.isnan(x[..., 0])
        out, _ = self.lstm(torch.nan_to_num(x))
        if counts.all():
            return self.dense(out.mean(dim=1))[:, 0]
        mean = (out * counts[..., None]).sum(dim=1) / counts.sum(dim=1, keepdim=True)
        return self.dense(mean)[:, 0]


def _first(x: np.ndarray) -> np.ndarray:
    """Steps that count, in their order, before those of NaN."""
    order = np.argsort(np.isnan(x[..., 0]), axis=1, kind="stable")
    return np.take_along_axis(x, order[..., None], axis=1)


def _own_step(tr: xr.Dataset) -> Any:
    """Mean own path of a step, of each particle where they differ."""
    if not light(tr):
        return steps_of(tr)
    return own_lengths(tr).isel(path=-1).values / (tr.sizes["path"] - 1)


class LSTMDiffusion:
    """Estimator of log10 κ from short trajectories, learnt from others of known κ.

    It sees steps alone, in units of the step: κ comes out in units of speed times step and is given in those of the
    trajectories.  Train it on steps and media like those that it is to judge; beyond them it extrapolates.
    """

    def __init__(self) -> None:
        self.network: _Network | None = None
        self.mean = np.zeros(INPUTS, np.float32)
        self.scale = np.ones(INPUTS, np.float32)
        self.label = (0.0, 1.0)
        self.history: list[tuple[float, float]] = []

    def fit(self, trajectories: xr.Dataset, kappa: Any = None, *, seed: int) -> "LSTMDiffusion":
        """Learn, with Adam and a Huber loss, and stop when 15 % of the trajectories, kept apart, get no better.

        Parameters
        ----------
        trajectories : xarray.Dataset
            As :func:`features` takes them, one of each realization.
        kappa : array, optional
            Of each [speed times length]; ``trajectories["kappa"]`` by default.
        seed : int
            Of weights, order and split.

        Returns
        -------
        LSTMDiffusion
            Itself.

        Raises
        ------
        ArgumentError, SnapshotError
            If a label is not positive or there are fewer than 20 trajectories.
        """
        step, x = _own_step(trajectories), _first(features(trajectories))
        if kappa is None and "kappa" not in trajectories:
            raise SnapshotError("no 'kappa' among the trajectories' variables to learn from: give kappa=[...]")
        given = np.asarray(require_plain(trajectories["kappa"] if kappa is None else kappa, "kappa"))
        if given.shape != x.shape[:1] or not (np.isfinite(given) & (given > 0)).all() or len(x) < 20:
            raise SnapshotError(f"positive kappa for each of at least 20 trajectories are needed, not {given.shape}")
        if np.isnan(x).all(axis=(1, 2)).any():
            raise SnapshotError("of some trajectories no step counts, as they left at once: leave them out")
        torch.manual_seed(require_whole(seed, "seed", 0))
        order = np.random.default_rng([seed, 22]).permutation(len(x))
        cut = max(1, int(0.15 * len(x)))
        held, own = order[:cut], order[cut:]
        y = np.log10(given / step)
        taken = x[own] if not np.isnan(x).any() else x[own][~np.isnan(x[own][..., 0])][None]
        self.mean = taken.mean(axis=(0, 1))
        self.scale = np.maximum(taken.std(axis=(0, 1)), 1e-6)
        self.label = float(y[own].mean()), float(max(y[own].std(), 1e-6))
        inputs = torch.from_numpy((x - self.mean) / self.scale)
        targets = torch.from_numpy(((y - self.label[0]) / self.label[1]).astype(np.float32))
        self.network = _Network()
        self._descend(inputs, targets, own, held, seed)
        return self

    def _descend(self, x: "torch.Tensor", y: "torch.Tensor", own: np.ndarray, held: np.ndarray, seed: int) -> None:
        network, loss = self.network, nn.HuberLoss()
        descent = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=RATE)
        random, best, waited = np.random.default_rng([seed, 23]), (np.inf, None), 0
        self.history = []
        for _ in range(MOST_EPOCHS):
            network.train()
            total = 0.0
            for rows in np.array_split(random.permutation(own), max(1, len(own) // BATCH)):
                descent.zero_grad()
                value = loss(network(x[rows]), y[rows])
                value.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                descent.step()
                total += value.item() * len(rows)
            network.eval()
            with torch.no_grad():
                apart = float(loss(network(x[held]), y[held]))
            self.history.append((total / len(own), apart))
            waited += 1
            if apart < best[0]:
                best, waited = (apart, {k: v.clone() for k, v in network.state_dict().items()}), 0
            if waited >= PATIENCE:
                break
        network.load_state_dict(best[1])
        network.eval()

    def predict(self, trajectories: xr.Dataset) -> xr.DataArray:
        """κ of each trajectory.

        Parameters
        ----------
        trajectories : xarray.Dataset
            As :func:`features` takes them.

        Returns
        -------
        xarray.DataArray
            Over ``particle`` [speed times length]; NaN where no step counts.

        Raises
        ------
        ArgumentError, SnapshotError
            If it has not been fitted or loaded.
        """
        if self.network is None:
            raise ArgumentError("the network has learnt nothing yet: fit it, or LSTMDiffusion.load(path)")
        step, x = _own_step(trajectories), _first(features(trajectories))
        with torch.no_grad():
            found = self.network(torch.from_numpy((x - self.mean) / self.scale)).numpy().astype(float)
        kappa = step * 10 ** (found * self.label[1] + self.label[0])
        notes = {**coefficient_attrs(trajectories), "long_name": "diffusion coefficient", "note": UNITS_NOTE}
        notes |= {"estimator": "LSTM", **described([trajectories], "mm.estimators.LSTMDiffusion.predict", [])}
        return xr.DataArray(kappa, dims="particle", attrs=notes, name="kappa")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write weights and normalization as safetensors.

        Parameters
        ----------
        path : path

        Returns
        -------
        Path

        Raises
        ------
        ArgumentError
            If it has not been fitted.
        """
        from safetensors.numpy import save_file

        if self.network is None:
            raise ArgumentError("the network has learnt nothing yet: fit it first")
        weights = {k: v.numpy() for k, v in self.network.state_dict().items()}
        more = {"mean": self.mean, "scale": self.scale, "label": np.array(self.label)}
        save_file({**weights, **{f"normalization.{k}": v for k, v in more.items()}}, path, {"format": FORMAT})
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> "LSTMDiffusion":
        """Read what :meth:`save` wrote; nothing is unpickled.

        Parameters
        ----------
        path : path, optional
            By default the network that ships, which has learnt from 1600 one-dimensional trajectories of 100 steps of
            :func:`two_phase` with its default ranges.

        Returns
        -------
        LSTMDiffusion

        Raises
        ------
        SnapshotError
            If the file is missing, damaged, or of another kind.
        """
        from safetensors import SafetensorError, safe_open

        path = samples.shipped("lstm.safetensors") if path is None else path
        try:
            with safe_open(path, "numpy") as file:
                kind = (file.metadata() or {}).get("format")
                tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118  not a mapping
        except (OSError, SafetensorError) as error:
            raise SnapshotError(f"{path} is no file of LSTMDiffusion.save ({error})") from error
        if kind != FORMAT:
            raise SnapshotError(f"{path} has the format {kind!r}, not {FORMAT!r}")
        one = cls()
        one.network = _Network()
        try:
            weights = {k: torch.from_numpy(v) for k, v in tensors.items() if not k.startswith("normalization.")}
            one.network.load_state_dict(weights)
            one.mean, one.scale = tensors["normalization.mean"], tensors["normalization.scale"]
            one.label = tuple(map(float, tensors["normalization.label"]))
        except (KeyError, RuntimeError) as error:
            raise SnapshotError(f"{path} holds other weights than those of this network ({error})") from error
        one.network.eval()
        return one
