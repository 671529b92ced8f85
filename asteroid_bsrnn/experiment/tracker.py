"""codecarbon, quiet and independent of the user's own settings of it."""

import importlib.metadata
import importlib.util
import inspect
import logging
import platform
import warnings
from typing import Any

SETTINGS = {  # codecarbon's own defaults, given each time: a file or a variable of the user's would change the measurement
    "tracking_mode": "machine",
    "measure_power_secs": 15.0,
    "gpu_ids": None,  # those of CUDA_VISIBLE_DEVICES, else all
    "output_dir": ".",
    "force_cpu_power": None,
    "force_ram_power": None,
    "force_mode_cpu_load": False,
    "rapl_include_dram": False,
    "rapl_prefer_psys": False,
    "wue": 0.0,
}
_SILENT = ("save_to_file", "save_to_api", "save_to_logger", "save_to_prometheus", "save_to_logfire")
_METERED = ("intel_rapl", "windows_emi", "intel_power_gadget")


class Tracker:
    """codecarbon's offline tracker, quiet; says of itself what it measures."""

    def __init__(self, country: str, pue: float) -> None:
        self.works = importlib.util.find_spec("codecarbon") is not None
        self.hardware: dict[str, Any] = {"machine": platform.node(), "cpu": platform.processor() or platform.machine()}
        self.method = "none: codecarbon is not installed, only hours are recorded"
        self.estimated_parts: list[str] = []
        self.settings: dict[str, Any] | None = None
        if self.works:
            self._start(country, pue)

    def _start(self, country: str, pue: float) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from codecarbon import EmissionsTracker, OfflineEmissionsTracker
            from codecarbon.output import BaseOutput

            logging.getLogger("codecarbon").setLevel(logging.CRITICAL)  # the import sets its own level

            class Latest(BaseOutput):
                total: Any = None

                def out(self, total: Any, delta: Any) -> None:
                    self.total = total

            self.latest = Latest()
            known = inspect.signature(EmissionsTracker).parameters
            fixed: dict[str, Any] = {
                **SETTINGS,
                **dict.fromkeys(_SILENT, False),
                "output_methods": None,
                "logger_preamble": "",
            }
            self.tracker = OfflineEmissionsTracker(
                country_iso_code=country,
                pue=pue,
                log_level="critical",
                output_handlers=[self.latest],
                allow_multiple_runs=True,
                **{key: value for key, value in fixed.items() if key in known},
            )
            self.tracker.start()
        self.settings = {
            key: getattr(self.tracker, f"_{key}", None) for key in SETTINGS if key in known and key != "output_dir"
        }
        self.settings["codecarbon"] = importlib.metadata.version("codecarbon")
        if self.kwh() is None:
            self.works, self.method = False, "none: codecarbon could not start, only hours are recorded"
            return
        found = self.latest.total
        self.hardware.update(
            cpu=found.cpu_model,
            cpu_count=found.cpu_count,
            gpu=found.gpu_model or None,
            gpu_count=found.gpu_count or 0,
            ram_gb=round(found.ram_total_size, 1),
        )
        modes = [getattr(part, "_mode", None) for part in getattr(self.tracker, "_hardware", [])]
        metered = any(mode in _METERED for mode in modes)
        self.estimated_parts = ["ram"] if metered else ["cpu", "ram"]  # codecarbon has no meter for memory
        self.method = "measured" if metered or found.gpu_count else "estimated"

    def kwh(self) -> float | None:
        """Energy since the start, None where nothing measures."""
        if not self.works:
            return None
        self.tracker.flush()
        return self.latest.total.energy_consumed if self.latest.total else None

    def stop(self) -> None:
        if self.works:
            self.tracker.stop()
