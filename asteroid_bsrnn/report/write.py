"""``write_report``: one folder with an index page, tables and figures of any set of experiments."""
from .document import Document
from .experiments import find_experiments
from .published_report import write_published


def write_report(exp_dirs, out_dir, published=False, seed=0):
    """Write the report of some experiments.

    Args:
        exp_dirs (iterable of str or Path): experiment folders, or folders that hold them; may be empty with ``published``.
        out_dir (str or Path): folder to write into.
        published (bool): add the published tables and figures, drawn from the published numbers.
        seed (int): seed of the bootstrap.

    Returns:
        Path: the index page.

    Raises:
        UserError: when a folder holds no experiment.
    """
    experiments = find_experiments(exp_dirs)
    document = Document(out_dir, "Report")
    if published:
        write_published(document)
    return document.write()
