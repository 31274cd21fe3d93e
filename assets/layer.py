# Installs a project's development packages beside those of an image, from what the commit locks. Runs inside a
# container of the image, with the image's own Python; what it is told is in /towpath/layer.json, what became of it
# goes to /towpath/layer-answer.json. Works on Python 3.8 and later.
import configparser
import glob
import importlib.metadata
import json
import os
import re
import shutil
import site
import subprocess
import sys

HOME = "/towpath"
PREFIX = "/towpath-dev"
NO_PIP = 72
NOT_INSTALLED = 73


def normalised(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def frozen():
    found = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            # The first on the path is the one that is imported.
            found.setdefault(normalised(name), distribution.version)
    return found


def logical_lines(text):
    text = re.sub(r"\\\r?\n", " ", text)
    for line in text.splitlines():
        line = re.sub(r"(^|\s)#.*$", "", line).strip()
        if line:
            yield line


def expanded(path, seen):
    # A requirements file with what it includes, constraints by their absolute path.
    path = os.path.abspath(path)
    if path in seen:
        return
    seen.add(path)
    with open(path) as handle:
        text = handle.read()
    for line in logical_lines(text):
        include = re.match(r"(-r|--requirement|-c|--constraint)[ =]?\s*(\S+)", line)
        if include and include.group(1) in ("-r", "--requirement"):
            yield from expanded(os.path.join(os.path.dirname(path), include.group(2)), seen)
        elif include:
            yield "-c " + os.path.join(os.path.dirname(path), include.group(2))
        else:
            yield line


def run(line, **more):
    code = subprocess.run(line, **more).returncode
    if code != 0:
        sys.exit(NOT_INSTALLED)


def tool(*packages):
    # Programs of our own, beside everything; they are thrown away with the container's volume.
    venv = HOME + "/tool"
    if not os.path.exists(venv + "/bin/python"):
        made = subprocess.run([sys.executable, "-m", "venv", venv])
        if made.returncode != 0:
            sys.exit(NO_PIP)
    if packages:
        run([venv + "/bin/python", "-m", "pip", "install", "--quiet", "--progress-bar", "off", *packages])
    return venv + "/bin/"


def pip():
    line = [sys.executable, "-m", "pip"]
    if subprocess.run(line + ["--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
        return line
    return [tool() + "python", "-m", "pip", "--python", sys.executable]


def wanted(asked):
    kind = asked["kind"]
    if kind == "uv":
        uv = shutil.which("uv") or tool("uv>=0.5") + "uv"
        out = HOME + "/exported.txt"
        groups = [] if asked["conflicts"] else ["--all-groups", "--all-extras"]
        run([uv, "export", "--frozen", "--no-emit-project", "--quiet", "--format", "requirements-txt", *groups,
             "--python", sys.executable, "--output-file", out])
        return list(expanded(out, set())), True
    if kind == "poetry":
        poetry = tool("poetry>=1.8", "poetry-plugin-export>=1.9") + "poetry"
        out = HOME + "/exported.txt"
        run([poetry, "--no-interaction", "--no-ansi", "export", "--format", "requirements.txt", "--all-groups",
             "--all-extras", "--output", out])
        return list(expanded(out, set())), True
    if kind == "text":
        return list(logical_lines(asked["text"])), asked["complete"]
    seen = set()
    lines = [line for file in asked["files"] for line in expanded(file, seen)]
    return lines, any("--hash" in line for line in lines)


def main():
    with open(HOME + "/layer.json") as handle:
        asked = json.load(handle)
    os.environ.update(asked["env"])
    config = configparser.RawConfigParser(strict=False)
    for text in asked["pip_config"]:
        config.read_string(text)
    for section in config.sections():
        config.remove_option(section, "cert")
    with open(HOME + "/pip.conf", "w") as handle:
        config.write(handle)
    os.environ["PIP_CONFIG_FILE"] = HOME + "/pip.conf"
    os.chdir(asked["source"])

    before = frozen()
    lines, complete = wanted(asked)
    missing, options, disagree = [], [], []
    for line in lines:
        if line.startswith("-e") or line.startswith("--editable") or re.match(r"(\.|/|file:)", line):
            continue
        if line.startswith("-"):
            options.append(line)
            continue
        name = normalised(re.match(r"[A-Za-z0-9._-]*", line).group(0))
        if name not in before:
            missing.append(line)
            continue
        fixed = re.match(r"[^=;]*===?\s*([^\s;\\]+)", line)
        if fixed and fixed.group(1) != before[name]:
            disagree.append([name, before[name], fixed.group(1)])
    answer = {"needed": bool(missing), "before": before, "after": before, "disagree": disagree}
    if missing:
        with open(HOME + "/missing.txt", "w") as handle:
            handle.write("\n".join(options + missing) + "\n")
        line = pip() + ["install", "--prefix", PREFIX, "--no-input", "--progress-bar", "off",
                        "--no-warn-script-location", "--disable-pip-version-check", "-r", HOME + "/missing.txt"]
        if complete:
            line.append("--no-deps")
        else:
            with open(HOME + "/before.txt", "w") as handle:
                for name, version in sorted(before.items()):
                    if re.match(r"^[0-9][A-Za-z0-9.!+_-]*$", version):
                        handle.write("%s==%s\n" % (name, version))
            line += ["-c", HOME + "/before.txt"]
        if os.geteuid() == 0 and pip_knows_root():
            line.append("--root-user-action=ignore")
        run(line)
        found = glob.glob(PREFIX + "/**/*-packages", recursive=True)
        beside = site.getsitepackages()[0]
        os.makedirs(beside, exist_ok=True)
        with open(beside + "/towpath-dev.pth", "w") as handle:
            for directory in found:
                # Behind everything of the image: its own version of a package is always the one that is imported.
                handle.write("import site; site.addsitedir(%r)\n" % directory)
        script = "import sys; sys.path.insert(0, %r); import layer, json; print(json.dumps(layer.frozen()))" % HOME
        after = subprocess.run([sys.executable, "-B", "-c", script], stdout=subprocess.PIPE)
        answer["after"] = json.loads(after.stdout)
    with open(HOME + "/layer-answer.json", "w") as handle:
        json.dump(answer, handle)


def pip_knows_root():
    version = subprocess.run(pip() + ["--version"], stdout=subprocess.PIPE).stdout.decode()
    found = re.match(r"pip (\d+)\.(\d+)", version)
    return bool(found) and (int(found.group(1)), int(found.group(2))) >= (22, 1)


if __name__ == "__main__":
    main()
