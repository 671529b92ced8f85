"""Training: one ``fit`` for every recipe.

::

    fit                  one call, from a configuration and an experiment folder to its best model        fit.py
     |- notes            run.json and the lines that the user reads                                        notes.py
     |- feed/            which items, in which order, through which processes, in which batches; fitting.py: how large
     '- Loop             epochs, steps, validation; all a function of (seed, position, weights)            loop.py
         |- system       what a step and a validated recording are: music, speech                          systems.py
         |- faults       steps that are not finite, files that cannot be read                              faults.py
         |- log, meter   bar, lines, curves; energy                                                        loggers.py
         '- RunState     weights, optimizer, scheduler, averages, loss scale, Progress                     state/state.py
             '- Checkpoints    the last two states, whole or not at all                                    state/checkpoints.py

A *checkpoint* holds the weights of model and averages, optimizer, scheduler, loss scale, the learning rate that the run began
with, and :class:`~.state.progress.Progress`: the position (epoch, step), counters, the history and the list of the best. It
holds no random state: every item, and every number drawn in a step, is a function of the seed and of the position.

*Who writes which file* of ``exp/<tag>/``, and when:

=============================  ==========================================================================================
``conf.yml``                   ``RunRecord`` (experiment/run.py), before the first checkpoint
``checkpoints/resume_*.ckpt``  ``Checkpoints``: before ``run.json``, every ``checkpoint_every`` steps, after each epoch
``run.json``                   ``RunRecord``, asked by ``RunNotes``: when a run begins, goes on and ends
``checkpoints/epoch=*.pth``    ``RunState.save_weights``: weights of the best epochs, as they are validated
``history.csv``                ``RunState.export``, after the checkpoint of the epoch; with it ``best_k_models.json`` and
                               ``best_model.pth``, a copy of the best ``epoch=*.pth``
``energy.json``                the meter (experiment/energy.py)
``tensorboard/``, ``csv/``     the loggers
=============================  ==========================================================================================

What is made from a state comes after the checkpoint of that state; a kill between the two is noticed when the run goes on
(state/mending.py), and the files are made again.
"""
