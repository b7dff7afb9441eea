"""What the paper measured: response in ms, by its tables.

See docs for the hardware: a 100 Mbit hub, 200 MHz slaves.
"""

COLUMNS = ("only", "local", "1 slave", "2 slaves", "3 slaves")

# 1 KiB file, by requests per second.
EXPERIMENT_1 = {
    100: (0.8, 1.2, 5.5, 5.5, 5.4),
    150: (0.7, 1.1, 5.4, 5.6, 5.4),
    200: (0.7, 1.1, 5.5, 5.6, 5.3),
    250: (0.7, 1.2, 5.3, 5.3, 5.5),
    300: (0.7, 1.2, 5.6, 5.4, 5.5),
}

# 1 request/s, 100 requests, by file size in KiB.
EXPERIMENT_2 = {
    10: (0.7, 2.0, 9.5, 9.9, 8.1),
    100: (0.8, 1.8, 15.9, 16.2, 16.4),
    200: (0.7, 2.7, 15.7, 17.3, 17.5),
    300: (0.7, 2.9, 15.0, 16.1, 15.4),
    400: (0.7, 3.3, 30.6, 27.3, 34.2),
    500: (0.7, 2.4, 655.5, 549.1, 488.1),
}

# 1 KiB file and 10 ms of CPU per request, by requests per second; columns local and 3 slaves.
EXPERIMENT_3 = {
    1: (11.0, 16.7),
    50: (12.2, 15.6),
    80: (48.7, 15.9),
    100: (100.8, 16.1),
    150: (163.5, 16.7),
    200: (204.2, 81.6),
    250: (292.3, 117.2),
}
