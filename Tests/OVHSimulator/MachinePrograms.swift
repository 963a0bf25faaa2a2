/// The programs of a simulated machine.
enum MachinePrograms {
    /// From the namespaces of `unshare` to the machine's own init. `$1` is its directory, `$2` its name.
    static let enter = #"""
        set -e
        mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/merged"
        cd "$1/merged"
        mount -t proc proc proc
        mount -t tmpfs -o mode=1777 tmpfs tmp
        mount -t tmpfs -o mode=755 tmpfs run
        mount --rbind /dev dev
        mkdir -p .host
        pivot_root . .host
        umount -l /.host
        rmdir /.host
        hostname "$2"
        ip link set lo up
        exec /usr/lib/ovh-simulator/init
        """#

    /// Process 1: first boot, enabled units, and then the reaping of orphans, which bash does by itself.
    static let start = #"""
        #!/bin/bash
        export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root
        mkdir -p /run/sshd
        if [ ! -e /var/lib/cloud/seen ]; then
            /usr/lib/ovh-simulator/cloud-init
            touch /var/lib/cloud/seen
        fi
        for unit in /etc/systemd/system/multi-user.target.wants/martlet-*; do
            [ -e "$unit" ] && systemctl start "${unit##*/}"
        done
        touch /var/lib/cloud/booted
        while :; do
            sleep 86400 &
            wait $!
        done

        """#

    /// The modules that Martlet's user data uses, in cloud-init's order. As there, user data that cannot be read leaves
    /// a machine that nobody can log in to.
    static let cloudInit = #"""
        #!/usr/bin/python3
        import glob, json, os, subprocess

        with open("/var/lib/cloud/user-data") as file:
            head, _, rest = file.read().partition("\n")
        for old in glob.glob("/etc/ssh/ssh_host_*") + glob.glob("/etc/ssh/sshd_config.d/*.conf"):
            os.remove(old)
        try:
            if head != "#cloud-config":
                raise ValueError("it does not begin with '#cloud-config'")
            data = json.loads(rest)
        except ValueError as error:
            raise SystemExit("cloud-init: user data ignored: %s (this one reads JSON only)" % error)


        def write(path, text, mode, owner=None):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as out:
                out.write(text)
            os.chmod(path, mode)
            if owner:
                subprocess.run(["chown", owner, path], check=True)


        for file in data.get("write_files", []):
            write(file["path"], file["content"], int(file.get("permissions", "0644"), 8), file.get("owner"))
        if "hostname" in data:
            write("/etc/hostname", data["hostname"] + "\n", 0o644)
        for user in data.get("users", []):
            name = user["name"]
            subprocess.run(["useradd", "-m", "-s", user.get("shell", "/bin/sh"), "-p", "*", name], check=True)
            write("/home/%s/.ssh/authorized_keys" % name, "\n".join(user["ssh_authorized_keys"]) + "\n", 0o600)
            subprocess.run(["chown", "-R", "%s:%s" % (name, name), "/home/%s/.ssh" % name], check=True)
            os.chmod("/home/%s/.ssh" % name, 0o700)
        for name, text in data.get("ssh_keys", {}).items():
            kind, _, half = name.rpartition("_")
            if half == "private":
                write("/etc/ssh/ssh_host_%s_key" % kind, text, 0o600)
            else:
                write("/etc/ssh/ssh_host_%s_key.pub" % kind, text + "\n", 0o644)
        if data.get("packages"):
            print("cloud-init: packages are not installed here: %s" % " ".join(data["packages"]))
        for command in data.get("runcmd", []):
            subprocess.run(command, check=False)

        """#

    /// Units with one `ExecStart`, restarted when they end.
    static let systemctl = #"""
        #!/bin/bash
        verb= unit= signal=TERM
        for word; do
            case $word in
            --signal=*) signal=${word#*=} ;;
            -*) ;;
            *) if [ -z "$verb" ]; then verb=$word; else unit=${word%.service}.service; fi ;;
            esac
        done
        file=/etc/systemd/system/$unit
        main=/run/units/$unit.main
        keeper=/run/units/$unit.keeper
        mkdir -p /run/units /etc/systemd/system/multi-user.target.wants
        is_active() { [ -s "$keeper" ] && kill -0 "$(<"$keeper")" 2>/dev/null; }
        start() {
            is_active && return
            condition=$(sed -n 's/^ConditionPathExists=//p' "$file")
            [ -z "$condition" ] || [ -e "$condition" ] || return 0
            command=$(sed -n 's/^ExecStart=//p' "$file")
            setsid bash -c "while :; do $command & echo \$! >'$main'; wait \$!; sleep 1; done" \
                </dev/null >>"/var/log/$unit.log" 2>&1 &
            echo $! >"$keeper"
        }
        stop() {
            is_active || return 0
            kill -KILL "$(<"$keeper")"
            kill "$(<"$main")" 2>/dev/null
            rm -f "$keeper" "$main"
        }
        if [ -n "$unit" ] && [ ! -e "$file" ]; then
            echo "Unit $unit not found." >&2
            exit 5
        fi
        case $verb in
        daemon-reload) ;;
        enable) ln -sf "$file" /etc/systemd/system/multi-user.target.wants/ ;;
        start) start ;;
        stop) stop ;;
        restart) stop; start ;;
        is-active) if is_active; then echo active; else echo inactive; exit 3; fi ;;
        kill) is_active && kill "-$signal" "$(<"$main")" ;;
        *) echo "systemctl: '$verb' is not known here" >&2; exit 1 ;;
        esac

        """#

    /// As Ubuntu's, without PAM.
    static let sshd = """
        Include /etc/ssh/sshd_config.d/*.conf
        KbdInteractiveAuthentication no
        UsePAM no
        UseDNS no
        PrintMotd no
        PidFile none
        LogLevel ERROR
        SetEnv LANG=C.UTF-8
        Subsystem sftp internal-sftp

        """
}
