"""Plants faults one at a time and says which of them the tests see.

    python studies/planted_faults.py [WORD ...]

Each fault replaces one piece of one file in a copy of the tree; the tests named with it must then
fail. WORD chooses the faults whose names contain it. Prints a line a fault and exits with 1 if one
of them lives; the whole takes about 20 minutes on two cores.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Fault(NamedTuple):
    """``old`` stands once in ``file``; ``tests`` are what pytest is asked to run, maybe with -k."""

    name: str
    file: str
    old: str
    new: str
    tests: str


FAULTS = (
    Fault(
        "PostgreSQL: a trial is made twice where the first was not heard of",
        "dnsearch/search/patience.py",
        "self._made(study_id) or make()",
        "make()",
        "tests/cluster/test_postgres.py -k lost_at_any",
    ),
    Fault(
        "PostgreSQL: a trial that was told counts as not told",
        "dnsearch/search/patience.py",
        "                if (told.state, told.values) == (state, values and list(values)):",
        "                if False:",
        "tests/cluster/test_postgres.py -k lost_at_any",
    ),
    Fault(
        "PostgreSQL: a study is made twice",
        "dnsearch/search/patience.py",
        "return RDBStorage.get_study_id_from_name(self, str(study_name))",
        "raise",
        "tests/cluster/test_postgres.py -k begins_at_any",
    ),
    Fault(
        "PostgreSQL: after it has given up it waits again",
        "dnsearch/search/patience.py",
        "        if self.given_up:",
        "        if False:",
        "tests/cluster/test_postgres.py -k too_long",
    ),
    Fault(
        "PostgreSQL: a coordinator writes without the lock",
        "dnsearch/search/server.py",
        "creator if read_only else self._locked",
        "creator",
        "tests/cluster/test_postgres.py -k only_one",
    ),
    Fault(
        "PostgreSQL: its own old connection keeps a coordinator out",
        "dnsearch/search/server.py",
        "                if holder == self._name:",
        "                if False:",
        "tests/cluster/test_postgres.py -k takes_for_alive",
    ),
    Fault(
        "PostgreSQL: results that are gone are begun anew",
        "dnsearch/search/server.py",
        "        if self.place.begun and SEARCH not in own:",
        "        if False:",
        "tests/cluster/test_postgres.py -k what_was_changed",
    ),
    Fault(
        "PostgreSQL: a reader may write",
        "dnsearch/postgres.py",
        '"on" if read_only else "off"',
        '"off"',
        "tests/cluster/test_postgres.py -k readers_only",
    ),
    Fault(
        "PostgreSQL: a password may stand in an address",
        "dnsearch/postgres.py",
        '    if ":" in rest.rpartition("@")[0] or settings & _SECRET:',
        "    if settings & _SECRET:",
        "tests/test_postgres_addresses.py",
    ),
    Fault(
        "PostgreSQL: the last line shows what was typed with its password",
        "dnsearch/cli/ending.py",
        "click.echo(without_passwords(line), err=True)",
        "click.echo(line, err=True)",
        "tests/cluster/test_postgres.py -k no_password",
        "padded pictures stand on black",
        "dnsearch/data/formats/images.py",
        "return ImageOps.pad(image, size, method, colour)",
        "return ImageOps.pad(image, size, method)",
        "tests/data/test_fit.py",
    ),
    Fault(
        "a padded picture is drafted by its shorter side",
        "dnsearch/data/formats/images.py",
        'max(image.size) if fit == "pad" else min(image.size)',
        "min(image.size)",
        "tests/data/test_fit.py",
    ),
    Fault(
        "decoded images are the same however they were fitted",
        "dnsearch/data/store.py",
        'return options if options.fit != "crop" else options[:-1]',
        "return options[:-1]",
        "tests/data/test_fit.py",
    ),
    Fault(
        "a setting of how images are fitted renames what was cached before it",
        "dnsearch/data/store.py",
        '            del settings["fit"]',
        "            pass",
        "tests/data/test_fit.py",
    ),
    Fault(
        "predictions fit pictures in their own way",
        "dnsearch/export/preprocessing.py",
        "fitted(picture, (width, height), self.fit, self.background)",
        'fitted(picture, (width, height), "crop", self.background)',
        "tests/export/test_preprocessing.py",
    ),
    Fault(
        "network.py fits pictures in its own way",
        "dnsearch/export/templates/network.py.j2",
        '{% elif fit == "squash" %}',
        '{% elif fit == "squashed" %}',
        "tests/export/test_preprocessing.py",
    ),
    Fault(
        "images are read ahead from the start of the file",
        "dnsearch/data/ahead.py",
        "places = [start + row * apart for",
        "places = [row * apart for",
        "tests/data/test_ahead.py",
    ),
    Fault(
        "a file of images that was cut off gives what was there before",
        "dnsearch/data/ahead.py",
        "        if len(read) < each:",
        "        if False:",
        "tests/data/test_ahead.py",
    ),
    Fault(
        "an epoch is made ready at once",
        "dnsearch/data/ahead.py",
        "if len(waiting) > max(1, min(AHEAD, BYTES_AHEAD // max(1, place.nbytes))):",
        "if len(waiting) > 10**9:",
        "tests/data/test_ahead.py",
    ),
    Fault(
        "what is read from disk stays mapped",
        "dnsearch/data/ahead.py",
        'if from_disk and hasattr(os, "posix_fadvise") else None',
        "if False else None",
        "tests/data/test_ahead.py",
    ),
    Fault(
        "an epoch that goes on begins with its first images again",
        "dnsearch/data/device.py",
        "order[first * batch_size : self.steps",
        "order[: self.steps",
        "tests/training/test_trainer.py",
    ),
    Fault(
        "workers that share a GPU count once",
        "dnsearch/data/keeping.py",
        "all(size * sharing <= GPU_SHARE",
        "all(size <= GPU_SHARE",
        "tests/data/test_keeping.py",
    ),
    Fault(
        "where images are kept is part of a study",
        "dnsearch/config/files.py",
        'own = ("data.path", "data.keep")',
        'own = ("data.path",)',
        "tests/test_config.py",
    ),
    Fault(
        "micro batches do not count for memory",
        "dnsearch/search/feasible.py",
        "cls(shape, recipe.at_once,",
        "cls(shape, recipe.batch_size,",
        "tests/training/test_trainer.py",
    ),
    Fault(
        "the whole batch is trained at once whatever is asked for",
        "dnsearch/training/trainer.py",
        "self._begin(recipe.parts if parts is None else parts)",
        "self._begin(1 if parts is None else parts)",
        "tests/training/test_trainer.py",
    ),
    Fault(
        "micro batches for which memory does not suffice fail",
        "dnsearch/training/trainer.py",
        "and self.parts == self.recipe.parts",
        "and self.parts == 1",
        "tests/training/test_trainer.py",
    ),
    Fault(
        "a pipe is replaced by a file",
        "dnsearch/files.py",
        "        if not (is_regular(path) or path.is_dir()):",
        "        if False:",
        "tests/test_files.py -k pipe_is_written",
    ),
    Fault(
        "pictures of several sizes are not resized",
        "dnsearch/cli/init.py",
        "if len(set(sizes)) == 1:",
        "if sizes:",
        "tests/cli/test_init.py",
    ),
    Fault(
        "turned pictures are taken as they lie",
        "dnsearch/data/formats/images.py",
        ".get(ORIENTATION, 1) >= 5",
        ".get(ORIENTATION, 1) >= 9",
        "tests/cli/test_init.py",
    ),
    Fault(
        "a data set is taken for the first format",
        "dnsearch/data/formats/__init__.py",
        "        except (DataError, OSError):\n            continue",
        "        except (DataError, OSError):\n            pass",
        "tests/data/test_find_format.py",
    ),
    Fault(
        "stages share the latency of their MACs",
        "dnsearch/cost/latency.py",
        "spent = {name: self.predicted_ms(done) for name, done in stage_work(archs, *size)}",
        "spent = {name: done[:, 3] + done[:, 4] for name, done in stage_work(archs, *size)}",
        "tests/cost/test_latency.py",
    ),
    Fault(
        "parts of a batch each count as the whole",
        "dnsearch/training/trainer.py",
        "loss = loss * (self._weight_of(own) / self._weight_of(labels))",
        "loss = loss * 1.0",
        "tests/training/test_trainer.py",
    ),
    Fault(
        "a training in parts begins anew, its checkpoint aside",
        "dnsearch/training/trainer.py",
        "            self._begin(PARTS * self.parts)\n",
        "            self._begin(PARTS * self.parts)\n            self.checkpoint = None\n",
        "tests/training/test_trainer.py",
    ),
    Fault(
        "choices are compared whatever networks cost",
        "dnsearch/analysis/choices.py",
        "/ members.sum(axis=0))[:, bins]",
        "/ members.sum(axis=0)).mean(axis=1, keepdims=True)",
        "tests/analysis/test_choices.py",
    ),
    Fault(
        "bins of cost weigh by their networks",
        "dnsearch/analysis/choices.py",
        "weights = np.broadcast_to(1 / in_bin, below.shape)",
        "weights = np.broadcast_to(np.full_like(in_bin, (1 / in_bin).mean()), below.shape)",
        "tests/analysis/test_choices.py",
    ),
    Fault(
        "filters take errors as shares",
        "dnsearch/report/templates/table.js",
        'includes("%") ? 100 : 1',
        'includes("%") ? 1 : 1',
        "tests/report/test_browser.py",
    ),
    Fault(
        "what is selected in the picture is hidden in the table",
        "dnsearch/report/templates/table.js",
        "selection.keys.has(key)",
        "!selection.keys.has(key)",
        "tests/report/test_browser.py",
    ),
    Fault(
        "a page runs any script that stands in it",
        "dnsearch/report/html.py",
        "script-src {allowed};",
        "script-src 'unsafe-inline';",
        "tests/report/test_browser.py",
    ),
    Fault(
        "a report is written every minute, whatever that takes",
        "dnsearch/cli/pages.py",
        "ended + max(FIRST_SECONDS, (ended - started) / SHARE)",
        "ended + FIRST_SECONDS",
        "tests/cli/test_refresh.py",
    ),
    Fault(
        "what is answered meanwhile counts as an answer",
        "dnsearch/cli/pages.py",
        "    if not under_way:",
        "    if results:",
        "tests/cli/test_refresh.py",
    ),
    Fault(
        "a comparison names the worse front",
        "dnsearch/report/comparison.py",
        "(first, front.run) if found.smaller > 0.5",
        "(first, front.run) if found.smaller < 0.5",
        "tests/report/test_comparison.py",
    ),
    Fault(
        "runs attain what costs less than a bound alone",
        "dnsearch/report/comparison_series.py",
        "errors[costs <= bound]",
        "errors[costs < bound]",
        "tests/report/test_comparison.py",
    ),
    Fault(
        "each network is drawn to its own scale",
        "dnsearch/report/templates/drawing.js",
        "networks.map((each) => drawing(each, most))",
        "networks.map((each) => drawing(each))",
        "tests/report/test_comparison.py",
    ),
    Fault(
        "a search is said to go on as a scaling design",
        "dnsearch/report/scaling_reasons.py",
        'own if scaling.designed else f"{own}-scaling"',
        "own",
        "tests/report/test_scaling_headline.py",
    ),
    Fault(
        "a network held out is among those that predict it",
        "dnsearch/cost/latency.py",
        "predicted[outside] = self.given(done[inside], ms[inside])",
        "predicted[outside] = self.given(done, ms)",
        "tests/cost/test_latency.py",
    ),
    Fault(
        "concatenations cost nothing",
        "dnsearch/cost/latency.py",
        "joins=there * (layers + 1)",
        "joins=there * layers",
        "tests/cost/test_latency.py",
    ),
    Fault(
        "an outlier counts like any other measurement",
        "dnsearch/cost/latency.py",
        "    return 1 / (1 + (residuals",
        "    return 1 + 0 / (1 + (residuals",
        "tests/cost/test_latency.py",
    ),
    Fault(
        "networks a little over a latency's limit by prediction are left out",
        "dnsearch/search/feasible.py",
        "else limit * self.latency.margin",
        "else limit",
        "tests/search/test_latency.py",
    ),
    Fault(
        "a run goes on with the machine's latest latencies",
        "dnsearch/search/latency.py",
        "if run is not None and run.is_search:",
        "if False:",
        "tests/search/test_latency.py",
    ),
    Fault(
        "latency tables of another machine are taken",
        "dnsearch/search/latency.py",
        "checksum([table.setting, table.machine])",
        "checksum([table.setting])",
        "tests/search/test_latency.py",
    ),
    Fault(
        "a measured latency does not count once it is predicted",
        "dnsearch/search/samplers/known_cost.py",
        "np.where(np.isnan(measured), np.exp(mean), measured)",
        "np.exp(mean)",
        "tests/search/samplers/test_known_cost.py",
    ),
    Fault(
        "a peak of memory without the gradients",
        "dnsearch/cost/memory.py",
        "MAPS * (kept + back)",
        "MAPS * kept",
        "tests/cost/test_memory.py",
    ),
    Fault(
        "networks that differ in two things are neighbours",
        "dnsearch/report/templates/networks.js",
        "changed.length === 1",
        "changed.length === 2",
        "tests/report/test_browser.py",
    ),
    Fault(
        "a comparison's difference is the other way round",
        "dnsearch/report/templates/comparison.js",
        "(each - other.draws[i]) / 1e3",
        "(other.draws[i] - each) / 1e3",
        "tests/report/test_browser.py",
    ),
    Fault(
        "seeds of the search pass for fresh ones",
        "dnsearch/report/headline.py",
        "return network if network is not None and network.seeds else None",
        "return network",
        "tests/report/test_headline.py",
    ),
    Fault(
        "replayed steps keep the rate of the recorded one",
        "dnsearch/training/captured.py",
        "                place.fill_(value)",
        "                place.fill_(value if self._replay is None else float(place))",
        "tests/training/test_captured.py",
    ),
    Fault(
        "replayed steps train on the recorded images",
        "dnsearch/training/captured.py",
        "                place.copy_(value, non_blocking=True)",
        "                place.copy_(value if self._replay is None else place)",
        "tests/training/test_captured.py",
    ),
    Fault(
        "a step's loss goes where no replay adds to it",
        "dnsearch/training/trainer.py",
        "self._total_loss += loss.detach()",
        "self._total_loss = self._total_loss + loss.detach()",
        "tests/training/test_captured.py",
    ),
    Fault(
        "weighted label smoothing is a mean over images",
        "dnsearch/training/recipe.py",
        "/ weight[labels].sum() / len(weight)",
        "/ len(labels) / len(weight)",
        "tests/training/test_settings.py",
    ),
    Fault(
        "columns past the last channel are summed",
        "dnsearch/arch/kernels/fused.py",
        "y = tl.where(inside, _relu(y), 0.0).to(rows.dtype)",
        "y = _relu(y).to(rows.dtype)",
        "tests/arch/kernels/test_triton.py",
    ),
    Fault(
        "a finished gradient leaves anything past its last channel",
        "dnsearch/arch/kernels/fused.py",
        "    dx = tl.where(inside[None, :], dx, 0.0)\n",
        "",
        "tests/arch/kernels/test_triton.py",
    ),
    Fault(
        "tiles' own variances are all there is",
        "dnsearch/arch/kernels/fused.py",
        "second += squares.to(tl.float64) + x * x / count",
        "second += squares.to(tl.float64)",
        "tests/arch/kernels/test_triton.py",
    ),
    Fault(
        "a GPU for each worker counts as shared",
        "dnsearch/search/evaluators/mps.py",
        "devices.count(device) > 1",
        "devices.count(device) >= 1",
        "tests/search/test_mps.py",
    ),
    Fault(
        "workers share a GPU beyond its memory",
        "dnsearch/search/devices.py",
        "int(device_memory(gpu) / need)",
        "int(10 * device_memory(gpu) / need)",
        "tests/search/test_devices.py",
    ),
    Fault(
        "only trained networks may be better than the answer",
        "dnsearch/search/regret.py",
        "self.draws.min(axis=1)",
        "self.draws[:, : len(self.keys)].min(axis=1)",
        "tests/search/test_regret.py",
    ),
    Fault(
        "a search proposes more once it knows enough",
        "dnsearch/search/engine.py",
        "while self._known is None and self._time_left() > 0",
        "while self._time_left() > 0",
        "tests/search/test_regret.py",
    ),
    Fault(
        "a search measures on the test images",
        "dnsearch/search/session.py",
        "        test=test,",
        "        test=True,",
        "tests/search/test_session.py tests/search/test_local.py",
    ),
    Fault(
        "a search minimises the test error",
        "dnsearch/search/engine.py",
        "        return [float(known[name]) for name in self.problem.objectives]",
        """        if known.get("test_error") is not None:
            known["error"] = known["test_error"]
        return [float(known[name]) for name in self.problem.objectives]""",
        "tests/search/test_engine.py",
    ),
    Fault(
        "training validates on the test images",
        "dnsearch/search/evaluators/worker.py",
        "    return Ready(settings, DeviceData(prepared",
        """    tests = prepare_test(settings.data)
    prepared = replace(prepared, validation=tests)
    return Ready(settings, DeviceData(prepared""",
        "tests/search/test_local.py",
    ),
    Fault(
        "images held out for the test are trained on",
        "dnsearch/data/store.py",
        "            rows, test = assemble.hold_out(labels, rows, amount, rng, leave=splits)",
        "            _, test = assemble.hold_out(labels, rows, amount, rng, leave=splits)",
        "tests/data/test_store.py",
    ),
    Fault(
        "all pictures are decoded, not only those drawn",
        "dnsearch/data/store.py",
        "        decoded = np.union1d(train, validation)",
        "        decoded = training.rows",
        "tests/data/test_decoding.py",
    ),
    Fault(
        "each seed decodes the pictures again",
        "dnsearch/data/store.py",
        "settings = [LAYOUT, split, config.format, config.image, *_keyed(options), like]",
        "settings = [LAYOUT, split, config.seed, config.image, *_keyed(options), like]",
        "tests/data/test_decoding.py",
    ),
    Fault(
        "rows that a killed process wrote are decoded again",
        "dnsearch/data/pixels.py",
        "        self._put(ROWS, self._rows_start, ROW.itemsize, rows, known)",
        "        pass",
        "tests/data/test_decoding.py",
    ),
    Fault(
        "a damaged image of the cache is trained on",
        "dnsearch/data/pixels.py",
        'damaged = there[found != self.known["checksum"][there]]',
        "damaged = there[:0]",
        "tests/data/test_decoding.py",
    ),
    Fault(
        "images of a file that ends too early are kept",
        "dnsearch/data/decoding.py",
        "            if self.split.shape is None:\n                pixels.mark",
        "            if True:\n                pixels.mark",
        "tests/data/test_decoding.py",
    ),
    Fault(
        "images are grey where those drawn are",
        "dnsearch/data/decoding.py",
        "    batches = split.batches(np.arange(len(split)))",
        "    batches = split.batches(np.arange(1))",
        "tests/data/test_decoding.py",
    ),
    Fault(
        "the cache grows without bound",
        "dnsearch/data/cache.py",
        "        if total <= limit:",
        "        if total:",
        "tests/data/test_decoding.py",
    ),
    Fault(
        "a pass over the images keeps what it mapped",
        "dnsearch/data/dataset.py",
        "            release(self.pixels)",
        "            pass",
        "tests/data/test_decoding.py",
    ),
    Fault(
        "drafts are taken for whole pictures",
        "dnsearch/data/store.py",
        "Options(config.image_size, config.background, config.draft, config.fit)",
        "Options(config.image_size, config.background, False, config.fit)",
        "tests/data/test_decoding.py",
    ),
    Fault(
        "want of memory is blamed on a picture",
        "dnsearch/data/formats/images.py",
        "    except MemoryError:\n        raise MachineError(",
        "    except MemoryError:\n        raise DataError(",
        "tests/data/test_decoding.py",
    ),
    Fault(
        "a training that goes on within an epoch augments anew",
        "dnsearch/training/trainer.py",
        '        self._generator.set_state(within["generator"].cpu())',
        "        pass",
        "tests/training/test_trainer.py",
    ),
    Fault(
        "a training that goes on within an epoch drops other maps",
        "dnsearch/training/trainer.py",
        "        torch.set_rng_state(on_cpu)",
        "        pass",
        "tests/training/test_trainer.py",
    ),
    Fault(
        "a training that goes on within an epoch begins that anew",
        "dnsearch/training/trainer.py",
        "            batches = self.data.drawn(batch_size, self._generator, first)",
        "            batches = self.data.drawn(batch_size, self._generator)",
        "tests/training/test_trainer.py",
    ),
    Fault(
        "a container's quota of CPU time is not seen",
        "dnsearch/machine.py",
        "    return max(1, min([bound or 1, *(math.ceil(quota) for quota in quotas)]))",
        "    return max(1, bound or 1)",
        "tests/test_machine.py",
    ),
    Fault(
        "the cache is named by sizes and times alone",
        "dnsearch/data/cache.py",
        "            digest.update(_sample(opened, None if whole else share))",
        "            pass",
        "tests/data",
    ),
    Fault(
        "shards that name classes in another order are read by number",
        "dnsearch/data/formats/columns.py",
        "        np.array([names.index(name) for name in part.names or listings[0]])[part.values]",
        "        part.values",
        "tests/data/test_labels.py",
    ),
    Fault(
        "whole numbers beside a text column are the labels",
        "dnsearch/data/formats/columns.py",
        "    if not called and len(numbers) == 1 and not rivals:",
        "    if not called and len(numbers) == 1:",
        "tests/data/test_labels.py",
    ),
    Fault(
        "splits with other names of classes are read by number",
        "dnsearch/data/classes.py",
        "        if same_listing or not (self._compared_by_name(split)):",
        "        if True:",
        "tests/data/test_labels.py",
    ),
    Fault(
        "pictures in folders of folders are overlooked",
        "dnsearch/data/formats/folder.py",
        "        inner[:] = [name for name in inner if not is_junk(name)]",
        "        inner.clear()",
        "tests/data/test_pictures.py",
    ),
    Fault(
        "transparent parts are what colour lies under them",
        "dnsearch/data/formats/images.py",
        "    behind.paste(coloured, mask=alpha)",
        "    behind.paste(coloured.convert('RGB'))",
        "tests/data/test_pictures.py",
    ),
    Fault(
        "bad test images cost the training",
        "dnsearch/training/full.py",
        "    except Exception as error:",
        "    except KeyError as error:",
        "tests/training/test_full.py",
    ),
    Fault(
        "expected gain is not divided by MACs",
        "dnsearch/search/samplers/weighing.py",
        "fits / (pool.macs * (top - behind))",
        "fits / (top - behind)",
        "tests/search/samplers",
    ),
    Fault(
        "expected gain is not divided by the epochs left",
        "dnsearch/search/samplers/weighing.py",
        "fits / (pool.macs * (top - behind))",
        "fits / pool.macs",
        "tests/search/samplers",
    ),
    Fault(
        "the cheapest network does not come first",
        "dnsearch/search/samplers/known_cost.py",
        "return pool, int(free[np.argmin(pool.macs[free])]), top",
        "return pool, int(free[np.argmax(pool.macs[free])]), top",
        "tests/search/samplers/test_known_cost.py",
    ),
    Fault(
        "a lower rung needs no more gain than the top one",
        "dnsearch/search/samplers/weighing.py",
        "CAUTION = 1.1",
        "CAUTION = 0.5",
        "tests/search/samplers",
    ),
    Fault(
        "training runs on part of the images teach the surrogate",
        "dnsearch/search/samplers/history.py",
        "        if not trial.params or images_of(trial) is not None:",
        "        if not trial.params:",
        "tests/search",
    ),
    Fault(
        "promotions are counted twice by the surrogate",
        "dnsearch/search/samplers/learner.py",
        "trainings.setdefault(outcome.training, {}).update(outcome.signals)",
        "trainings.setdefault((*outcome.training, outcome.rung), {}).update(outcome.signals)",
        "tests/search",
    ),
    Fault(
        "promotions are counted twice by replays",
        "dnsearch/replay/run.py",
        "max(0, epochs - before)",
        "epochs",
        "tests/replay/test_run.py",
    ),
    Fault(
        "budgets of replays forget screenings",
        "dnsearch/replay/run.py",
        "self.spent += spent",
        "self.spent += spent * (record.values is not None)",
        "tests/replay/test_run.py",
    ),
    Fault(
        "a screening ends a replay as if it had found the architecture",
        "dnsearch/replay/run.py",
        "if record.values is not None and job.arch.key",
        "if job.arch.key",
        "tests/replay/test_run.py",
    ),
    Fault(
        "a screening counts as found",
        "dnsearch/replay/measures.py",
        'found[trajectory["rung"].to_numpy(np.float64) < rung] = np.nan',
        "pass",
        "tests/replay/test_measures.py",
    ),
    Fault(
        "a promotion goes on with another recorded seed",
        "dnsearch/replay/evaluator.py",
        "if (key, job.seed) not in self._drawn:",
        "if True:",
        "tests/replay/test_evaluator.py",
    ),
    Fault(
        "proposals take no time in a replay",
        "dnsearch/replay/run.py",
        "self.evaluator.wait(seconds)",
        "self.evaluator.wait(0.0)",
        "tests/replay/test_run.py -k charged",
    ),
    Fault(
        "the workers of a replay train one after another",
        "dnsearch/replay/run.py",
        "derived_seed(seed)), machine.workers)",
        "derived_seed(seed)), 1)",
        "tests/replay/test_run.py -k workers_train",
    ),
    Fault(
        "a look moves the clock of a replay",
        "dnsearch/replay/evaluator.py",
        "if self._queue and timeout > 0:",
        "if self._queue:",
        "tests/replay/test_evaluator.py -k looking",
    ),
    Fault(
        "a single worker gets proposals ahead",
        "dnsearch/search/engine.py",
        "return 0 if capacity == 1 else min(",
        "return max(1, capacity) if capacity == 1 else min(",
        "tests/search/test_engine.py -k keep_nobody_waiting",
    ),
    Fault(
        "nothing is ready for a worker that ends",
        "dnsearch/search/engine.py",
        "min(capacity, math.ceil(ending - HARDLY))",
        "0",
        "tests/search/test_engine.py -k is_ready",
    ),
    Fault(
        "results wait until all free workers have jobs",
        "dnsearch/search/engine.py",
        "spent >= (1 + AS_LONG_AGAIN) * first",
        "not free",
        "tests/search/test_engine.py -k is_collected",
    ),
    Fault(
        "proposals ahead stay open when a search ends",
        "dnsearch/search/engine.py",
        "self.store.withdraw(self._ready.popleft())",
        "self._ready.popleft()",
        "tests/search/test_engine.py -k ahead_are_withdrawn",
    ),
    Fault(
        "proposals ahead are beyond the budget",
        "dnsearch/search/engine.py",
        "self._done + running + len(self._ready) +",
        "self._done + running +",
        "tests/search/test_engine.py -k within_the_budget",
    ),
    Fault(
        "a node that is lost is held against the candidate",
        "dnsearch/search/engine.py",
        "suspicious = self._suspects.lost(job, outcome)",
        "suspicious = Unexplained(outcome.reason)",
        "tests/search/test_faults.py -k lost_with",
    ),
    Fault(
        "further proposals look at the worst points again",
        "dnsearch/search/samplers/weighing.py",
        "self._order = np.argsort(-weighed.bound",
        "self._order = np.argsort(weighed.bound",
        "tests/search/samplers/test_weighing.py -k further",
    ),
    Fault(
        "further proposals go by an older weighing",
        "dnsearch/search/samplers/known_cost.py",
        "few or late > STALE * pending or",
        "few or",
        "tests/search/samplers/test_weighing.py -k since_points",
    ),
    Fault(
        "a single worker's proposals go by an older weighing",
        "dnsearch/search/samplers/known_cost.py",
        "late > STALE * pending or",
        "late > 1 + STALE * pending or",
        "tests/search/samplers/test_weighing.py -k single_worker",
    ),
    Fault(
        "what is under way is chosen again",
        "dnsearch/search/samplers/weighing.py",
        "for place in places if place is not None]] = False",
        "for place in places if place is not None]] = True",
        "tests/search/samplers/test_weighing.py -k each_once",
    ),
    Fault(
        "points are weighed by rough standard deviations",
        "dnsearch/search/samplers/weighing.py",
        "_, sd[part] = self.errors.predict(",
        "_, sd[part] = self.errors.roughly(",
        "tests/search/samplers/test_weighing.py -k roughly",
    ),
    Fault(
        "a gain is thought never to rise with less doubt",
        "dnsearch/search/samplers/weighing.py",
        "return 1 + 0.2 * sd",
        "return 1 + 0.0 * sd",
        "tests/search/samplers/test_weighing.py -k slack",
    ),
    Fault(
        "points looked at late miss what was believed before",
        "dnsearch/search/samplers/surrogate.py",
        "shared = solve_factor(self._root, shared)",
        "shared = 0 * shared",
        "tests/search/samplers/test_surrogate.py -k believing",
    ),
    Fault(
        "regrets are drawn of points of rough promise",
        "dnsearch/search/regret.py",
        "expected_improvement(*surrogate.predict(features[part]), least)",
        "expected_improvement(*surrogate.roughly(features[part]), least)",
        "tests/search/test_regret.py -k greatest",
    ),
    Fault(
        "CIFAR's files are read twice",
        "dnsearch/data/formats/cifar.py",
        "partial(_read_rows, path, layout, starts, parts)",
        "partial(_read_rows, path, layout, starts, {})",
        "tests/data/test_cifar.py -k read_once",
    ),
    Fault(
        "a promotion takes the seconds of its lower rungs again",
        "dnsearch/replay/evaluator.py",
        "(score.seconds or 0.0) - spent",
        "(score.seconds or 0.0)",
        "tests/replay/test_evaluator.py",
    ),
    Fault(
        "trainings on part of the images are recorded as whole ones",
        "dnsearch/replay/table.py",
        "if candidate.images == images:",
        "if True:",
        "tests/replay/test_table.py",
    ),
    Fault(
        "architectures outside the space count in comparisons",
        "dnsearch/replay/comparison.py",
        "if space.values_of(table.archs[key]) is not None",
        "",
        "tests/replay/test_comparison.py",
    ),
    Fault(
        "expected improvement forgets the variance",
        "dnsearch/search/samplers/acquisition.py",
        "np.exp(mean + sd**2 / 2)",
        "np.exp(mean)",
        "tests/search/samplers/test_acquisition.py",
    ),
    Fault(
        "an exhausted space is never taken back",
        "dnsearch/search/engine.py",
        "self._exhausted &= not ended",
        "self._exhausted &= True",
        "tests/search/test_engine.py",
    ),
    Fault(
        "time spent in earlier sittings is forgotten",
        "dnsearch/search/engine.py",
        "return self._before + self.clock() - self._started",
        "return self.clock() - self._started",
        "tests/search/test_engine.py",
    ),
    Fault(
        "changed images are not refused",
        "dnsearch/search/session.py",
        "    if before != data.fingerprint:",
        "    if False:",
        "tests/search/test_session.py",
    ),
    Fault(
        "scale never misses the sizes left out",
        "dnsearch/scaling/heldout.py",
        "missed = abs(off) > math.hypot(width, scatter / math.sqrt(left.architectures))",
        "missed = False",
        "tests/scaling",
    ),
    Fault(
        "the trend is taken in sample",
        "dnsearch/scaling/front.py",
        "return mean - (mean - hat @ mean) / np.maximum(1 - np.diag(hat), 1e-3)",
        "return hat @ mean",
        "tests/scaling",
    ),
    Fault(
        "training runs on part of the images are in the law of all images",
        "dnsearch/scaling/front.py",
        "return self.fitted & self.whole",
        "return self.fitted",
        "tests/scaling",
    ),
    Fault(
        "a law that loses to a constant is trusted",
        "dnsearch/scaling/extrapolation.py",
        "        if not own < other:",
        "        if False:",
        "tests/scaling",
    ),
    Fault(
        "a wide band is trusted",
        "dnsearch/scaling/extrapolation.py",
        "    if width > NEAR:",
        "    if False:",
        "tests/scaling/test_extrapolation.py",
    ),
    Fault(
        "a law that was tested too little is trusted",
        "dnsearch/scaling/extrapolation.py",
        "    if checks < CHECKS - 1e-6:",
        "    if False:",
        "tests/scaling/test_extrapolation.py",
    ),
    Fault(
        "bands are no wider for what the cuts were off by",
        "dnsearch/scaling/averaged.py",
        "np.maximum(np.sqrt(variance), self.growth * beyond)",
        "np.sqrt(variance)",
        "tests/scaling/test_averaged.py",
    ),
    Fault(
        "residuals along a training count as independent",
        "dnsearch/scaling/fits.py",
        "return (1 - rho) / (1 + rho)",
        "return np.ones_like(rho)",
        "tests/scaling/test_averaged.py",
    ),
    Fault(
        "laws are averaged alike, however they predicted",
        "dnsearch/scaling/averaged.py",
        "return softmax(-checks / 2 * np.log(variance))",
        "return softmax(0 * np.log(variance))",
        "tests/scaling/test_averaged.py",
    ),
    Fault(
        "certificates of unlike schedules",
        "dnsearch/confirm/signals.py",
        "return epochs == top or rung <= (1 - recipe.decay) * min(epochs, top)",
        "return True",
        "tests/confirm",
    ),
    Fault(
        "a proxy is compared with its own seed",
        "dnsearch/confirm/certificate.py",
        "others = [(s, t) for s in seeds for t in seeds if s != t]",
        "others = [(s, t) for s in seeds for t in seeds]",
        "tests/confirm",
    ),
    Fault(
        "networks stand at what was measured",
        "dnsearch/analysis/picks.py",
        'for name in ("predicted_error", *costs)], axis=1)\n    found',
        'for name in ("error", *costs)], axis=1)\n    found',
        "tests/report/test_positions.py",
    ),
    Fault(
        "what reaches the baseline is recommended",
        "dnsearch/analysis/picks.py",
        "if is_better(each, baseline)]",
        "if True]",
        "tests/report/test_answer.py",
    ),
    Fault(
        "a confirmed network stays where the search saw it",
        "dnsearch/search/confirmed.py",
        "(shared @ weights).T",
        "0 * (shared @ weights).T",
        "tests/search/test_confirmed.py",
    ),
    Fault(
        "test errors choose whose weights are kept",
        "dnsearch/search/confirmed.py",
        "(-r.job.rung, r.score.error)",
        "(-r.job.rung, r.score.test_error)",
        "tests/search/test_confirmed.py",
    ),
    Fault(
        "images count for nothing on new images",
        "dnsearch/analysis/confidence.py",
        "middle - np.minimum(least, middle))",
        "0.0 * middle)",
        "tests/analysis/test_confidence.py",
    ),
    Fault(
        "a repeated training counts beside its failure",
        "dnsearch/search/confirmed.py",
        "last = {(r.job.arch.key, r.job.seed): r for r in own}",
        "last = {(r.job.arch.key, id(r)): r for r in own}",
        "tests/confirm",
    ),
    Fault(
        "a confirmation trains on the test images, too",
        "dnsearch/search/evaluators/worker.py",
        "    return Ready(settings, DeviceData(prepared",
        """    if test is not None:
        pairs = zip(vars(prepared.train).values(), vars(test).values())
        both = type(prepared.train)(*(np.concatenate(pair) for pair in pairs))
        prepared = replace(prepared, train=both)
    return Ready(settings, DeviceData(prepared""",
        "tests/cli/test_confirm.py",
    ),
    Fault(
        "a confirmation chooses by test errors",
        "dnsearch/confirm/run.py",
        "    best = _front_members(results.searched, costs, top)",
        """    tests = {r.job.arch.key: r.score.test_error or 1.0 for r in results.confirmed}
    least = sorted(tests, key=lambda key: tests[key])[:top]
    best = least or _front_members(results.searched, costs, top)""",
        "tests/confirm/test_run.py",
    ),
    Fault(
        "clip_norm without effect",
        "dnsearch/training/trainer.py",
        "        if self.recipe.clip_norm:",
        "        if False:",
        "tests/training",
    ),
    Fault(
        "label_smoothing without effect",
        "dnsearch/training/trainer.py",
        "smoothing = self.recipe.label_smoothing",
        "smoothing = 0.0",
        "tests/training",
    ),
    Fault(
        "norms and biases are decayed",
        "dnsearch/training/recipe.py",
        '{"params": others, "weight_decay": 0.0}',
        '{"params": others, "weight_decay": recipe.weight_decay}',
        "tests/training",
    ),
    Fault(
        "errors are those of the raw weights",
        "dnsearch/training/trainer.py",
        "logits = self.averaged.model(batch)",
        "logits = self.model.eval()(batch)",
        "tests/training",
    ),
    Fault(
        "every epoch sees the images in the same order",
        "dnsearch/training/trainer.py",
        "seed = epoch_seed(self.seed, epoch)",
        "seed = epoch_seed(self.seed, 0)",
        "tests/training",
    ),
    Fault(
        "no dropout mask in the training memory",
        "dnsearch/cost/formula.py",
        "mask = (archs.drop_rate > 0) * layers * k",
        "mask = 0 * layers * k",
        "tests/cost",
    ),
    Fault(
        "transitions round up",
        "dnsearch/arch/config.py",
        "np.floor(np.asarray(channels) * compression + 1e-9)",
        "np.ceil(np.asarray(channels) * compression - 1e-9)",
        "tests/arch tests/cost",
    ),
    Fault(
        "one lucky seed stands for an architecture",
        "dnsearch/analysis/pareto.py",
        "return (np.bincount(which, weights=np.asarray(errors)) / np.bincount(which))[which]",
        "return np.asarray(errors, dtype=np.float64)",
        "tests/analysis",
    ),
    Fault(
        "a signal cuts a transaction in two",
        "dnsearch/search/engine.py",
        "with interrupts.held():",
        "with interrupts.held(False):",
        "tests/search/test_engine.py -k signal",
    ),
    Fault(
        "a second signal is not noticed",
        "dnsearch/interrupts.py",
        "elif time.monotonic() - since > ONE:",
        "elif time.monotonic() - since > 600:",
        "tests/test_interrupts.py -k second",
    ),
    Fault(
        "a command that ends in spite of a signal is a success",
        "dnsearch/cli/ending.py",
        "return code if number is None else _stop(number)",
        "return code",
        "tests/cli/test_ending.py -k signals",
    ),
    Fault(
        "workers see the signals of their coordinator",
        "dnsearch/processes.py",
        "with interrupts.blocked():  # again",
        "with contextlib.nullcontext():  # again",
        "tests/search/test_local.py -k signals",
    ),
    Fault(
        "time-outs go by the time of day",
        "dnsearch/search/evaluators/local.py",
        "if time.monotonic() - since <= self.timeout:",
        "if time.time() - since <= self.timeout:",
        "tests/search/test_local.py -k too_long",
    ),
    Fault(
        "a broken machine burns candidates",
        "dnsearch/search/faults.py",
        "if self._in_a_row >= IN_A_ROW:",
        "if self._in_a_row >= 100:",
        "tests/search/test_faults.py",
    ),
    Fault(
        "a candidate is at fault at once",
        "dnsearch/search/faults.py",
        "if job in self._tried:",
        "if job:",
        "tests/search/test_faults.py",
    ),
    Fault(
        "another chance is forgotten where it is interrupted",
        "dnsearch/search/proposer.py",
        "for job in store.set_aside())",
        "for job in ())",
        "tests/search/test_faults.py -k chance",
    ),
    Fault(
        "parameters have no part in a trial's checksum",
        "dnsearch/search/layout.py",
        "used = study, trial.number, job, trial.params, allowed, dict(told)",
        "used = study, trial.number, job, allowed, dict(told)",
        "tests/search/test_backups.py -k edit",
    ),
    Fault(
        "rows that belong to no trial are overlooked",
        "dnsearch/search/database.py",
        'connection.execute("PRAGMA foreign_key_check").fetchone()',
        "None",
        "tests/test_reliability.py -k study.db",
    ),
    Fault(
        "torch's archives are read unchecked",
        "dnsearch/training/trainer.py",
        "        require_sound_zip(path)\n",
        "",
        "tests/test_reliability.py -k checkpoint",
    ),
    Fault(
        "a damaged backup is restored",
        "dnsearch/search/restore.py",
        "if not _damage(RunDir(file.parent))",
        "if file",
        "tests/search/test_backups.py -k newest_backup_that",
    ),
    Fault(
        "a newer storage is gone on with",
        "dnsearch/search/database.py",
        "if not 0 <= schema <= SCHEMA:",
        "if schema < 0:",
        "tests/search/test_backups.py -k newer_dnsearch",
    ),
    Fault(
        "the user's own study is overwritten",
        "dnsearch/search/session.py",
        "        require_ours(run.study_file, SIGN)\n",
        "        pass\n",
        "tests/test_files.py -k own",
    ),
    Fault(
        "boxes of a large space are cut off where a limit passes through them",
        "dnsearch/search/boxes.py",
        "found.append(boxes.take(possible & done))",
        "found.append(boxes.take(inside & done))",
        "tests/search/test_feasible.py -k boxes",
    ),
    Fault(
        "bottlenecks are bounded as if no cap bound them",
        "dnsearch/search/boxes.py",
        "if low and self.space.bn_cap != (0.0,):",
        "if low and self.space.bn_cap == (0.0,):",
        "tests/search/test_feasible.py -k box",
    ),
    Fault(
        "a sample of a large space is counted as if all of it met the limits",
        "dnsearch/search/boxes.py",
        "count = float(volumes[list(parts)] @ shares)",
        "count = float(volumes.sum())",
        "tests/search/test_feasible.py -k sample",
    ),
    Fault(
        "a factor goes on growing from the rows of another",
        "dnsearch/search/samplers/growing.py",
        "known = kept and kept <= lasting and",
        "known = kept and kept <= lasting or",
        "tests/search/samplers/test_surrogate.py -k grows",
    ),
    Fault(
        "errors to beat overlap where several points may be",
        "dnsearch/search/samplers/acquisition.py",
        "better = np.maximum(front[:place, 1:], costs)",
        "better = np.maximum(front[:0, 1:], costs)",
        "tests/search/samplers/test_acquisition.py",
    ),
    Fault(
        "a run that another machine holds is taken over",
        "dnsearch/rundir.py",
        "if holder is not None and holder.is_elsewhere:",
        "if holder is not None and holder.is_gone:",
        "tests/test_rundir.py -k another_machine",
    ),
    Fault(
        "what a living process is writing is removed",
        "dnsearch/files.py",
        "if machine.is_gone(told) or _is_old(entry):",
        "if told or _is_old(entry):",
        "tests/test_rundir.py -k killed_process_left",
    ),
    Fault(
        "what a killed process left stays for a day",
        "dnsearch/files.py",
        "if machine.is_gone(told) or _is_old(entry):",
        "if _is_old(entry):",
        "tests/test_rundir.py -k killed_process_left",
    ),
    Fault(
        "a pipe is empty before anybody has begun to write",
        "dnsearch/files.py",
        'if part == b"" and (content or began):',
        'if part == b"":',
        "tests/test_files.py -k pipe_is_read",
    ),
)


def plantable(fault: Fault) -> bool:
    """Whether the piece to replace stands in its file exactly once."""
    return (ROOT / fault.file).read_text("utf-8").count(fault.old) == 1


def caught(fault: Fault) -> bool:
    """Whether the fault's tests fail once it is planted in a copy of the tree."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("dnsearch", "tests", "studies", "pyproject.toml", "README.md"):
            source, copy = ROOT / name, Path(folder, name)
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy)
        planted = Path(folder, fault.file)
        planted.write_text(planted.read_text("utf-8").replace(fault.old, fault.new), "utf-8")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": path}
        ended = subprocess.run(
            [*command, *fault.tests.split()],
            cwd=folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
    if ended.returncode not in (0, 1):  # 1: tests failed; others: they could not be run
        sys.exit(f"{fault.name}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}")
    return ended.returncode == 1


def main(words: Sequence[str]) -> int:
    """Prints what became of each fault; returns 1 if one lives."""
    chosen = [fault for fault in FAULTS if all(word in fault.name for word in words)]
    lived = 0
    for fault in chosen:
        if not plantable(fault):
            sys.exit(f"{fault.name}: the piece to replace must stand once in {fault.file}")
        seen = caught(fault)
        lived += not seen
        print(f"{'caught' if seen else 'LIVES '}  {fault.name}  ({fault.file})", flush=True)
    print(f"{len(chosen) - lived} of {len(chosen)} faults caught")
    return 1 if lived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
