#: {"about": "reads keys, secrets and histories",
#:  "with": ["attack.py"]}
import glob
import os
from attack import attempt, read

for path in ["/etc/martlet/runner.json", "/etc/martlet/host_ed25519", "/etc/shadow", "/etc/gshadow", "/etc/ssh/ssh_host_ed25519_key",
             "/root/.ssh/id_ed25519", "/root/.config/martlet/credentials.json", "/root/.config/martlet/authorization",
             "/var/lib/martlet/master.key", "/etc/sudoers", "/root/.bash_history", "/proc/1/environ",
             "/run/secrets/kubernetes.io/serviceaccount/token", "/var/run/docker.sock", "/run/docker.sock",
             "/run/containerd/containerd.sock", "/.dockerenv/x"] + glob.glob("/tmp/*/*.key"):
    attempt(path, lambda: read(path) or None)
for place in ("/root", "/run/martlet/compiled", "/etc/martlet/secret", "/var/lib/martlet", "/var/lib/docker"):
    attempt(f"listing {place}", lambda: os.listdir(place) or None)
