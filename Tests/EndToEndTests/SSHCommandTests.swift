import EventLoop
import Foundation
import HTTPTransport
import TestSupport
import Testing

/// The real ssh, scp, sftp and rsync, with what 'martlet ssh-config --write' has written, against VMs that sleep.
@Suite(SharedMartlet(), .serialized, .timeLimit(.minutes(10))) struct SSHCommandTests {
    /// The VM runs once, so that it is there, and is put to sleep; a key is let in.
    private func desk() async throws -> Desk {
        let desk = Desk(martlet: try shared())
        if !FileManager.default.fileExists(atPath: "\(desk.home)/.ssh/id_ed25519") {
            for key in ["id_ed25519", "other"] { try await desk.make(key: key) }
            let added = try await desk.martlet.run(["key", "add"])
            #expect(added.ending == .exited(0) && added.text.contains("of id_ed25519"), "\(added.errorText)")
        }
        _ = try await desk.martlet.execute(try body("bash", "true"))
        let written = try await desk.martlet.run(["ssh-config", "--write"])
        #expect(written.ending == .exited(0), "\(written.errorText)")
        try await WakingTests.stop(desk.martlet)
        return desk
    }

    @Test func aSleepingVMIsWokenByOpenSSHAndStaysAwake() async throws {
        let desk = try await desk()
        let clock = ContinuousClock()
        let began = clock.now
        let cold = try await desk.ssh("martlet", "echo $USER; pwd; exit 7")
        print("ssh into a stopped VM: \(clock.now - began)")
        #expect(cold.ending == .exited(7) && cold.text == "martlet\n/home/martlet\n", "\(cold.errorText)")
        let warmBegan = clock.now
        #expect(try await desk.ssh("martlet", "true").ending == .exited(0))
        print("ssh into a running VM: \(clock.now - warmBegan)")

        // With a terminal, by the VM's other name, and by martlet itself.
        let slug = try #require(try await WakingTests.vm(desk.martlet)["slug"] as? String)
        let terminal = try await desk.ssh("-tt", "martlet-\(slug)", "tty")
        #expect(terminal.text.contains("/dev/pts/"), "\(terminal.errorText)")
        let identity = "\(desk.home)/.ssh/id_ed25519"
        let own = try await desk.martlet.run([
            "ssh", slug, "-i", identity, "-o", "BatchMode=yes", "--", "cat; hostname",
        ])
        #expect(own.ending == .exited(0) && own.text.hasPrefix("mlt-"), "\(own.errorText)")

        // While somebody is in, nothing stops it for idleness.
        async let open = desk.ssh("martlet", "touch ~/in; while [ -e ~/in ]; do sleep 0.1; done; echo out")
        try await eventually(within: .seconds(20), describing: "an open session") {
            let why = try await desk.martlet.send("GET", "/v1/environments/\(slug)/why").text
            return why.contains("\"openSessions\":1")
        }
        _ = try await desk.martlet.execute(try body("bash", "until rm ~/in 2>/dev/null; do sleep 0.1; done"))
        #expect(try await open.text == "out\n")
        try await eventually(within: .seconds(20), describing: "no open session") {
            try await desk.martlet.send("GET", "/v1/environments/\(slug)/why").text.contains("\"openSessions\":0")
        }
    }

    @Test func scpSftpAndRsyncCarryAHundredMegabytesToASleepingVM() async throws {
        let desk = try await desk()
        let tree = "\(desk.martlet.directory)/tree"
        let made = try await desk.run(
            "bash",
            [
                "-ec",
                """
                mkdir -p '\(tree)/deep/er' && cd '\(tree)'
                for n in $(seq 40); do head -c 2500000 /dev/urandom > "deep/file $n"; done
                for n in $(seq 500); do echo $n > deep/er/$n; done
                ln -s deep/er link
                """,
            ])
        #expect(made.ending.isSuccess, "\(made.errorText)")
        let shell = "ssh \(desk.configuration.joined(separator: " ")) -i \(desk.home)/.ssh/id_ed25519"
        let clock = ContinuousClock()
        let began = clock.now
        let sent = try await desk.run(
            "rsync", ["-a", "-e", shell, "\(tree)/", "martlet:tree/"], deadline: .seconds(300))
        print("rsync of 100 MB to a stopped VM: \(clock.now - began)")
        #expect(sent.ending == .exited(0), "\(sent.errorText)")
        let here = try await desk.run("bash", ["-c", "cd '\(tree)' && \(Desk.digest)"])
        let there = try await desk.ssh("martlet", "cd tree && \(Desk.digest); readlink link")
        #expect(there.text == here.text + "deep/er\n" && !here.text.isEmpty, "\(there.errorText)")
        // Again there is nothing to send; and back.
        let again = try await desk.run("rsync", ["-ai", "-e", shell, "\(tree)/", "martlet:tree/"])
        #expect(again.ending == .exited(0) && again.text.isEmpty, "\(again.text)")
        let backBegan = clock.now
        let back = try await desk.run(
            "rsync", ["-a", "-e", shell, "martlet:tree/", "\(tree)-back/"], deadline: .seconds(300))
        print("rsync of 100 MB back: \(clock.now - backBegan)")
        #expect(back.ending == .exited(0), "\(back.errorText)")
        #expect(try await desk.run("diff", ["-r", tree, "\(tree)-back"]).ending == .exited(0))

        try await WakingTests.stop(desk.martlet)
        let options = desk.configuration + ["-q", "-i", "\(desk.home)/.ssh/id_ed25519"]
        let scp = try await desk.run("scp", options + ["\(tree)/deep/file 1", "martlet:by-scp"])
        #expect(scp.ending == .exited(0), "\(scp.errorText)")
        let batch = try desk.martlet.file("batch", "get by-scp \(tree)-sftp\nrename by-scp by-sftp\n")
        let sftp = try await desk.run("sftp", options + ["-b", batch, "martlet"])
        #expect(sftp.ending == .exited(0), "\(sftp.errorText)")
        #expect(try await desk.run("cmp", ["\(tree)/deep/file 1", "\(tree)-sftp"]).ending == .exited(0))
        #expect(try await desk.ssh("martlet", "rm -r tree by-sftp").ending == .exited(0))
    }

    @Test func whoseKeyIsNotThereStaysOutside() async throws {
        let desk = try await desk()
        let martlet = desk.martlet
        let refused = try await desk.ssh(key: "other", "martlet", "true")
        #expect(
            refused.ending == .exited(255) && refused.errorText.contains("Permission denied"), "\(refused.errorText)")

        // A second key works from its addition on, and not from its removal on; the first goes on.
        #expect(try await martlet.run(["key", "add", "\(desk.home)/.ssh/other.pub"]).ending == .exited(0))
        #expect(try await desk.ssh(key: "other", "martlet", "true").ending == .exited(0))
        #expect(try await martlet.run(["key", "list"]).text.contains("of other"))
        #expect(try await martlet.run(["key", "remove", "of other"]).ending == .exited(0))
        let removed = try await desk.ssh(key: "other", "martlet", "true")
        #expect(removed.ending == .exited(255) && removed.errorText.contains("Permission denied"))
        #expect(try await desk.ssh("martlet", "true").ending == .exited(0))

        // Another user, who has a key and knows the name: not even the server is reached.
        let slug = try #require(try await WakingTests.vm(martlet)["slug"] as? String)
        let user = "stranger-\(marker())"
        #expect(try await martlet.run(["admin", "users", "create", user]).ending == .exited(0))
        let token = try await martlet.run(["admin", "users", "token", "create", user, "first"]).text
            .trimmingCharacters(in: .whitespacesAndNewlines)
        try #require(token.hasPrefix("mlt_"))
        let variables = ["MARTLET_TOKEN": token]
        #expect(
            try await martlet.run(["key", "add", "\(desk.home)/.ssh/other.pub"], variables: variables).ending
                == .exited(0))
        let stranger = try await desk.ssh(key: "other", "martlet-\(slug)", "true", variables: variables)
        #expect(stranger.ending == .exited(255) && stranger.errorText.contains("environment_not_found"))

        // The private half is not sent.
        let secret = try await martlet.run(["key", "add", "\(desk.home)/.ssh/other"])
        #expect(secret.ending == .exited(2) && secret.errorText.contains("private key"), "\(secret.errorText)")
    }
}
