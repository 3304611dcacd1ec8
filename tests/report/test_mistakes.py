import numpy as np

from convforge.report.mistakes import surest_mistakes


def test_the_surest_mistakes_come_first_and_of_equals_the_first():
    table = np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.1, 0.9]], np.float32)
    labels = np.array([1, 0, 0, 0, 0])
    assert surest_mistakes(table, labels).tolist() == [4, 2, 0, 3]
    assert surest_mistakes(table, labels, limit=2).tolist() == [4, 2]
    assert surest_mistakes(table, table.argmax(1)).tolist() == []
