"""What programs do with the Python SDK: one function a scenario, each ends with all that it made gone."""

import io
import sys
import tarfile

import docker
from docker import errors as known
from docker.utils.socket import frames_iter


def archive(name, content):
    """A tar with one file."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return data.getvalue()


def content(chunks, name):
    """The content of a file of a tar that came in pieces."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        return tar.extractfile(name).read()


def containers(client):
    assert client.ping()
    assert client.version()["Os"] == "linux"
    assert client.containers.run("alpine", ["echo", "hello"], remove=True) == b"hello\n"
    said = ["sh", "-c", "echo out; echo err >&2"]
    both = client.containers.run("alpine", said, stdout=True, stderr=True, remove=True)
    assert sorted(both.splitlines()) == [b"err", b"out"], both

    web = client.containers.run("alpine", ["sleep", "1000"], detach=True, init=True, name="web", labels={"a": "b"})
    assert client.containers.list(filters={"label": "a=b"}) == [web]
    web.reload()
    assert web.status == "running"
    assert web.image.tags == ["alpine:latest"], web.image.tags

    # The SDK reads the head of the answer through a buffer and then goes on below it: output that has come along with
    # the head is lost to it, whatever the engine. So these programs begin late.
    late = lambda script: ["sh", "-c", f"sleep 0.5; {script}"]
    ended, output = web.exec_run(late("echo out; echo err >&2; exit 3"), demux=True)
    assert (ended, output) == (3, (b"out\n", b"err\n")), (ended, output)
    assert web.exec_run(late("echo hello"), tty=True).output == b"hello\r\n"
    assert b"".join(web.exec_run(late("echo streamed"), stream=True).output) == b"streamed\n"
    assert not web.exec_run("true", detach=True).output
    talk = web.exec_run("cat", stdin=True, socket=True).output
    talk._sock.sendall(b"through\n")
    assert next(frames_iter(talk, tty=False)) == (1, b"through\n")
    talk.close()

    assert [row for row in web.top()["Processes"] if "sleep 1000" in row[-1]]
    assert web.stats(stream=False)["pids_stats"]["current"] >= 1
    web.update(mem_limit="64m", memswap_limit="64m")
    web.pause()
    web.reload()
    assert web.status == "paused"
    web.unpause()
    web.rename("renamed")
    web.restart(timeout=1)
    web.kill("SIGKILL")
    assert web.wait()["StatusCode"] == 137
    web.remove()

    shell = client.containers.create("alpine", "cat", stdin_open=True)
    talk = shell.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    shell.start()
    talk._sock.sendall(b"line\n")
    assert next(frames_iter(talk, tty=False)) == (1, b"line\n")
    assert shell.logs() == b"line\n"
    shell.remove(force=True)

    talker = client.containers.run("alpine", ["sh", "-c", "echo one; sleep 0.2; echo two"], detach=True)
    assert b"".join(talker.logs(stream=True, follow=True)) == b"one\ntwo\n"
    talker.wait()
    assert talker.logs(tail=1) == b"two\n"
    assert talker.id in [one["Id"] for one in client.df()["Containers"]]
    assert client.containers.prune()["ContainersDeleted"] == [talker.id]
    assert client.containers.list(all=True) == []


def files_and_images(client):
    image = client.images.pull("alpine", tag="latest")
    assert image.tags == ["alpine:latest"], image.tags
    assert [one.id for one in client.images.pull("hello-world", all_tags=True)]
    volume = client.volumes.create("data", labels={"of": "suite"})
    assert client.volumes.list(filters={"label": "of=suite"}) == [volume]
    box = client.containers.create("alpine", ["cat", "/data/note"], volumes={"data": {"bind": "/data", "mode": "rw"}})
    assert box.put_archive("/data", archive("note", b"kept\n"))
    chunks, stat = box.get_archive("/data/note")
    assert (content(chunks, "note"), stat["size"]) == (b"kept\n", 5), stat
    box.start()
    assert box.wait()["StatusCode"] == 0
    assert box.logs() == b"kept\n"
    assert box.put_archive("/root", archive("mine", b"committed\n"))
    assert {"Path": "/root/mine", "Kind": 1} in box.diff()
    assert b"root/mine" in b"".join(box.export())

    made = box.commit(repository="mine", tag="1", author="me", changes="CMD cat /root/mine")
    assert made.attrs["Author"] == "me"
    assert client.containers.run("mine:1", remove=True) == b"committed\n"
    assert len(made.history()) == len(image.history()) + 1
    assert made.tag("other", tag="2")
    saved = b"".join(made.save(named="mine:1"))
    client.images.remove("mine:1")
    client.images.remove("other:2")
    assert not client.images.list(name="mine")
    loaded = client.images.load(saved)
    assert [one.tags for one in loaded] == [["mine:1"]], loaded
    assert "Images" in client.df()

    box.remove()
    volume.remove()
    client.images.remove("mine:1")
    # The commit made a volume of the image's own of /data; `remove` leaves it, as it does in Docker.
    client.volumes.prune()
    assert client.volumes.list() == []


def networks_and_events(client):
    started = client.events(decode=True, filters={"type": ["container", "network"]})
    net = client.networks.create("suite", labels={"of": "suite"}, ipam=docker.types.IPAMConfig(
        pool_configs=[docker.types.IPAMPool(subnet="10.77.0.0/24")]))
    assert client.networks.list(names=["suite"]) == [net]
    server = client.containers.run("alpine", ["sleep", "1000"], detach=True, init=True, network="suite", name="server")
    client.containers.run("alpine", ["ping", "-c", "1", "server"], network="suite", remove=True)
    late = client.containers.run("alpine", ["sleep", "1000"], detach=True, init=True)
    net.connect(late, ipv4_address="10.77.0.9", aliases=["late"])
    net.reload()
    assert {one.name for one in net.containers} == {server.name, late.name}
    assert server.exec_run("ping -c 1 late").exit_code == 0
    late.reload()
    assert late.attrs["NetworkSettings"]["Networks"]["suite"]["IPAddress"] == "10.77.0.9"
    net.disconnect(late)
    assert server.exec_run("ping -c 1 -W 1 late").exit_code != 0
    for one in (server, late):
        one.remove(force=True)
    assert client.networks.prune()["NetworksDeleted"] == ["suite"]

    seen = []
    for event in started:
        seen.append((event["Type"], event["Action"]))
        if event["Action"] == "destroy" and event["Actor"]["ID"] == late.id:
            break
    for wanted in [("network", "create"), ("network", "connect"), ("container", "start"), ("container", "die")]:
        assert wanted in seen, seen
    started.close()


def errors(client):
    def fails(kind, text, call):
        try:
            call()
        except kind as error:
            assert text in str(error), error
        else:
            raise AssertionError(f"{text!r} was no error")

    fails(known.NotFound, "No such container: nothing", lambda: client.containers.get("nothing"))
    fails(known.ImageNotFound, "No such image: nothing:latest", lambda: client.images.get("nothing:latest"))
    fails(known.NotFound, "network nothing not found", lambda: client.networks.get("nothing"))
    fails(known.NotFound, "no such volume", lambda: client.volumes.get("nothing"))
    fails(known.ContainerError, "exit status 3", lambda: client.containers.run("alpine", ["sh", "-c", "exit 3"]))
    fails(known.APIError, "executable file not found", lambda: client.containers.run("alpine", "nothing"))
    fails(known.APIError, "409", lambda: [client.containers.create("alpine", name="twice") for _ in range(2)])
    fails(known.APIError, "publishing ports", lambda: client.containers.create("alpine", ports={"80/tcp": 8080}))
    client.containers.prune()


def main():
    client = docker.from_env()
    try:
        globals()[sys.argv[1]](client)
    finally:
        client.close()


main()
