#!/usr/bin/env python3
"""What is left of a server at ten times what it can do: called by scripts/load.sh --overload.

    overload.py URLS SECONDS [CONNECTIONS]

URLS is a file of http:// URLs, a line each. Three figures are taken, and printed:

capacity   searches a second that are answered to clients that each wait for their answer (the best
           of 4, 16 and 64 of them), SECONDS long
overload   ten times as many, sent when they are due whether or not others are answered (open loop),
           over CONNECTIONS (512) connections from eight addresses; goodput counts 200 alone
recovery   from the end of that until no request is refused any more, at half of the capacity

Latency is from when a request was sent to the end of its answer. A request that is due while all
connections wait for answers is not sent, and counted apart: that many clients there are not.
"""
import collections
import selectors
import socket
import sys
import time
import urllib.parse


class Connection:
    """One connection, on which one request at a time is asked."""

    def __init__(self, number, host, port, loop):
        self.number, self.host, self.port, self.loop = number, host, port, loop
        self.socket = None

    def open(self):
        self.socket = socket.socket()
        if self.host == "127.0.0.1":
            # A caller is an address where nobody is asked who they are.
            self.socket.bind((f"127.0.0.{2 + self.number % 8}", 0))
        self.socket.connect((self.host, self.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.loop.register(self.socket, selectors.EVENT_READ, self)

    def ask(self, request):
        if self.socket is None:
            self.open()
        self.got, self.length, self.status = b"", None, 0
        self.sent = time.perf_counter()
        self.socket.sendall(request)

    def read(self):
        """Whether the answer is whole."""
        try:
            chunk = self.socket.recv(1 << 18)
        except BlockingIOError:
            return False
        except ConnectionError:
            chunk = b""
        if not chunk:
            self.close()
            return True
        self.got += chunk
        if self.length is None:
            end = self.got.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = self.got[:end].lower()
            self.status = int(head[9:12])
            at = head.find(b"content-length:")
            self.length = end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
        return len(self.got) >= self.length

    def close(self):
        if self.socket is not None:
            self.loop.unregister(self.socket)
            self.socket.close()
            self.socket = None


Answer = collections.namedtuple("Answer", "at status took")


class Load:
    """All connections, and what is asked over them."""

    def __init__(self, urls, connections):
        parts = urllib.parse.urlsplit(urls[0])
        host, port = parts.hostname, parts.port or 80
        self.loop = selectors.DefaultSelector()
        self.all = [Connection(n, host, port, self.loop) for n in range(connections)]
        targets = [url.split(parts.netloc, 1)[1] for url in urls]
        # Each with a number that comes once: what was asked before is answered from memory, which
        # is no work.
        lines = "GET %s%%20{} HTTP/1.1\r\nhost: " + parts.netloc + "\r\n\r\n"
        self.requests = [lines % target.replace("{", "%7B") for target in targets]
        self.next = 0

    def request(self):
        self.next += 1
        return self.requests[self.next % len(self.requests)].format(self.next).encode()

    def closed(self, clients, seconds):
        """So many clients, each of which asks when it is answered."""
        answers, begin = [], time.perf_counter()
        end = begin + seconds
        for connection in self.all[:clients]:
            connection.ask(self.request())
        open_ones = clients
        while open_ones:
            for key, _ in self.loop.select(1):
                connection = key.data
                if connection.read():
                    now = time.perf_counter()
                    answers.append(Answer(now - begin, connection.status, now - connection.sent))
                    if now < end:
                        connection.ask(self.request())
                    else:
                        open_ones -= 1
        return [answer for answer in answers if answer.at <= seconds]

    def open(self, rate, seconds):
        """So many a second, come what may; and how many found no connection."""
        answers, unsent, due = [], 0, 0
        free, busy = collections.deque(self.all), 0
        begin = time.perf_counter()
        while True:
            now = time.perf_counter() - begin
            over = now >= seconds
            if over and not busy:
                return answers, unsent, due
            until = int(min(now, seconds) * rate)
            # In small steps: answers are read between them.
            for _ in range(min(until - due, 64)):
                due += 1
                if free:
                    free.popleft().ask(self.request())
                    busy += 1
                else:
                    unsent += 1
            wait = 0 if until > due else min(1 / rate, 0.05)
            for key, _ in self.loop.select(0.05 if over else wait):
                connection = key.data
                if connection.read():
                    at = time.perf_counter()
                    answers.append(Answer(at - begin, connection.status, at - connection.sent))
                    free.append(connection)
                    busy -= 1


def quantile(answers, part):
    took = sorted(answer.took for answer in answers)
    return 1000 * took[min(len(took) - 1, int(part * len(took)))] if took else float("nan")


def good(answers):
    return [answer for answer in answers if answer.status == 200]


def tell(what, answers, seconds, more=""):
    served = good(answers)
    p50, p99 = quantile(served, 0.5), quantile(served, 0.99)
    print(f"{what:24} {len(served) / seconds:7.0f} /s   p50 {p50:6.1f} ms   p99 {p99:6.1f} ms{more}")


def main():
    urls = open(sys.argv[1], encoding="utf-8").read().split()
    seconds = float(sys.argv[2])
    load = Load(urls, int(sys.argv[3]) if len(sys.argv) > 3 else 512)
    load.closed(8, min(seconds, 3))
    peak = 0
    for clients in (4, 16, 64):
        answers = load.closed(clients, seconds)
        tell(f"capacity, {clients} clients", answers, seconds)
        peak = max(peak, len(good(answers)) / seconds)
    answers, _, _ = load.open(peak / 2, seconds)
    tell("half of it", answers, seconds)
    answers, unsent, due = load.open(10 * peak, seconds)
    refused = collections.Counter(answer.status for answer in answers if answer.status != 200)
    told = ", ".join(f"{count} x {status or 'broken off'}" for status, count in refused.items())
    within = [answer for answer in answers if answer.at <= seconds]
    tell("ten times as many", within, seconds, f"   of {due} due: {told or 'none refused'}, {unsent} unsent")
    goodput = len(good(within)) / seconds
    answers, _, _ = load.open(peak / 2, max(seconds, 6))
    tell("half again", answers, max(seconds, 6))
    late = [answer.at for answer in answers if answer.status != 200]
    print(f"goodput at ten times     {100 * goodput / peak:7.0f} % of the peak ({peak:.0f} /s)")
    print(f"recovered after          {max(late, default=0):7.2f} s")


if __name__ == "__main__":
    main()
