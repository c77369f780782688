"""The oracle: a large model that labels articles by rubric, within a deadline, a budget and a strict contract."""
