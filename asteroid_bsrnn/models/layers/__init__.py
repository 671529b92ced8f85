"""What several families are made of: norms, chunking, codecs, channel groups, checks."""
