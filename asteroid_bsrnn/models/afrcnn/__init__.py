"""A-FRCNN and S-FRCNN, and the authors' weights of A-FRCNN."""
from ..family import Family
from .adapter import AuthorsAFRCNN
from .network import AFRCNN, SFRCNN

FAMILY = Family("afrcnn", models=(AFRCNN, SFRCNN), adapters=(AuthorsAFRCNN(),))
