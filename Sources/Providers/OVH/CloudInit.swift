import Cryptography
import Foundation

/// What a fresh instance is told about itself: cloud-init's `#cloud-config`, as JSON, which is YAML too and needs no
/// rules for quoting.
///
/// The host key is put in place before the SSH server starts, so it can be pinned from the first connection on. The
/// runner is not in it (user data ends at 64 KiB): whoever connects first logs in as root with the environment's key,
/// which runs `martlet-install` and nothing else, and gives it the package (sandbox/README.md, "Elsewhere").
struct CloudInit: Encodable {
    struct User: Encodable {
        let name: String
        let shell = "/bin/bash"
        let lockPassword = true
        let authorizedKeys: [String]

        enum CodingKeys: String, CodingKey {
            case name, shell
            case lockPassword = "lock_passwd"
            case authorizedKeys = "ssh_authorized_keys"
        }
    }

    struct File: Encodable {
        let path: String
        let content: String
        let permissions: String
        let owner = "root:root"
    }

    let hostname: String
    let passwordLogin = false
    let deleteKeys = true
    let keys: [String: String]
    let users: [User]
    let files: [File]
    let updatesPackages: Bool
    let packages: [String]
    let commands: [[String]]

    enum CodingKeys: String, CodingKey {
        case hostname, users, packages
        case passwordLogin = "ssh_pwauth"
        case deleteKeys = "ssh_deletekeys"
        case keys = "ssh_keys"
        case files = "write_files"
        case updatesPackages = "package_update"
        case commands = "runcmd"
    }

    static let user = "martlet"
    static let runnerPort = 4_611
    static let program = "/opt/martlet/martlet-runner"
    private static let installer = "/usr/local/sbin/martlet-install"
    private static let runnerTemplate = "/etc/martlet/runner.json.in"

    /// - Parameter packages: those of the languages; installed last, while the machine is in use already.
    init(for spec: VMSpec, packages: [String]) throws {
        hostname = spec.name
        keys = ["ed25519_private": spec.hostKey.privateKey, "ed25519_public": spec.hostKey.publicKey]
        // The image's own user is left out, with the key that OVH gives it.
        users = [User(name: Self.user, authorizedKeys: spec.authorizedKeys)]
        let installers = spec.authorizedKeys.map { $0 + "\n" }.joined()
        files = [
            File(path: "/etc/ssh/sshd_config.d/10-martlet.conf", content: Self.sshd, permissions: "0644"),
            File(path: "/etc/martlet/installers", content: installers, permissions: "0600"),
            File(path: Self.runnerTemplate, content: try Self.runnerConfiguration(spec), permissions: "0600"),
            File(path: Self.installer, content: Self.install, permissions: "0755"),
            File(path: "/etc/systemd/system/martlet-runner.service", content: Self.service, permissions: "0644"),
        ]
        updatesPackages = !packages.isEmpty
        self.packages = packages
        // The runner may have looked for the languages before they were there.
        commands = [["sh", "-c", "systemctl kill --signal=HUP --kill-who=main martlet-runner.service || true"]]
    }

    var userData: String {
        get throws { "#cloud-config\n" + (try Self.json(self)) + "\n" }
    }

    private static func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    /// What `martlet-install` completes with the user's numbers (`sandbox/config.c` reads it).
    private static func runnerConfiguration(_ spec: VMSpec) throws -> String {
        struct Configuration: Encodable {
            struct Limits: Encodable {
                let memoryMb: Int
                let processes: Int
            }
            let secret: String
            let port = CloudInit.runnerPort
            let runtimes = "/opt/martlet/runtimes"
            let limits: Limits
            // A group delegated by systemd; the runner does without where it is not.
            let cgroup = ["unified": "/sys/fs/cgroup/system.slice/martlet-runner.service/runs"]
            let network: String
        }
        return try json(
            Configuration(
                secret: spec.runnerSecret.lowercased(),
                limits: .init(memoryMb: spec.memoryMb, processes: spec.processes),
                network: spec.network ? "shared" : "private"))
    }

    /// Read before the image's own lines, and the first value counts (sshd_config(5)).
    private static let sshd = """
        PasswordAuthentication no
        AllowTcpForwarding local
        AllowStreamLocalForwarding no
        AllowAgentForwarding no
        X11Forwarding no
        PermitTunnel no
        MaxSessions 256
        ClientAliveInterval 30
        ClientAliveCountMax 4
        Match User root
            AuthorizedKeysFile /etc/martlet/installers
            PermitRootLogin prohibit-password
            ForceCommand \(installer)
            AllowTcpForwarding no
            PermitTTY no

        """

    private static let service = """
        [Unit]
        Description=Martlet runner
        After=network.target
        ConditionPathExists=\(program)

        [Service]
        ExecStart=\(program) serve --config /etc/martlet/runner.json
        Restart=always
        RestartSec=1
        Delegate=yes
        KillMode=mixed
        OOMPolicy=continue

        [Install]
        WantedBy=multi-user.target

        """

    /// Repeating it changes nothing; a package that is there already does not disturb what runs.
    private static let install = #"""
        #!/usr/bin/python3
        """Installs the runner from the package on standard input, JSON {"files": [{"path", "mode", "content"}]} with
        base64 contents, and returns when it listens. Root's SSH keys run this and nothing else."""
        import base64, fcntl, hashlib, json, os, pwd, shutil, socket, subprocess, sys, time

        HOME = "/opt/martlet"
        UNIT = "martlet-runner.service"


        def unpack(package, digest):
            new = HOME + ".new"
            shutil.rmtree(new, ignore_errors=True)
            for file in json.loads(package)["files"]:
                path = os.path.normpath(os.path.join(new, file["path"]))
                if not path.startswith(new + "/"):
                    sys.exit("martlet-install: '%s' is outside of the package" % file["path"])
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as out:
                    out.write(base64.b64decode(file["content"], validate=True))
                os.chmod(path, file["mode"])
            with open(new + "/digest", "w") as out:
                out.write(digest)
            shutil.rmtree(HOME + ".old", ignore_errors=True)
            if os.path.exists(HOME):
                os.rename(HOME, HOME + ".old")
            os.rename(new, HOME)


        def configure():
            with open("/etc/martlet/runner.json.in") as template:
                configuration = json.load(template)
            user = pwd.getpwnam("martlet")
            configuration["user"] = {
                "name": user.pw_name, "uid": user.pw_uid, "gid": user.pw_gid, "home": user.pw_dir,
            }
            descriptor = os.open("/etc/martlet/runner.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as out:
                json.dump(configuration, out)
            return configuration["port"]


        def systemctl(*words):
            result = subprocess.run(["systemctl", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)
            if result.returncode != 0:
                sys.exit("martlet-install: systemctl %s: %s" % (" ".join(words), result.stderr.strip()))


        def listens(port):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            except OSError:
                return False


        package = sys.stdin.buffer.read()
        if not package:
            sys.exit("martlet-install: no package on standard input")
        with open("/run/martlet-install.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            digest = hashlib.sha256(package).hexdigest()
            try:
                with open(HOME + "/digest") as known:
                    is_new = known.read() != digest
            except FileNotFoundError:
                is_new = True
            if is_new:
                unpack(package, digest)
            port = configure()
            systemctl("daemon-reload")
            systemctl("enable", UNIT)
            systemctl("restart" if is_new else "start", UNIT)
            end = time.monotonic() + 20
            while not listens(port):
                if time.monotonic() > end:
                    sys.exit("martlet-install: the runner does not listen on port %d" % port)
                time.sleep(0.05)

        """#
}
