import subprocess
import sys
import threading
import time

from gluon_mtcnn.core.processes.processor_time import processor_seconds

BUSY = "import time\nwhile time.process_time() < {}: pass"


def test_all_threads_and_ended_children_count_and_waiting_does_not():
    def busy():
        while time.thread_time() < 0.1:
            pass

    before = processor_seconds()
    time.sleep(0.2)
    assert processor_seconds() - before < 0.1
    before = processor_seconds()
    threads = [threading.Thread(target=busy) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.2 <= processor_seconds() - before < 0.4
    before = processor_seconds()
    subprocess.run([sys.executable, "-c", BUSY.format(0.3)], check=True)
    assert 0.28 <= processor_seconds() - before < 0.6
