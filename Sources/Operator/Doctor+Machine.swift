import Cryptography
import Execution
import Fleet
import Foundation
import PostgreSQL
import Providers
import Redis

// What is on this machine, and the servers.
extension Doctor {
    func checkPrograms() -> [Finding] {
        let files = FileManager.default
        func isInstalled(_ program: String) -> Bool {
            ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"].contains {
                files.isExecutableFile(atPath: "\($0)/\(program)")
            }
        }
        // What the provider needs is its own to say.
        var needed = [("setpriv", "util-linux")]
        if settings.redisURL == nil { needed.append(("redis-server", "redis-server")) }
        var missing = needed.filter { !isInstalled($0.0) }
        if settings.databaseURL == nil, !files.fileExists(atPath: "/usr/lib/postgresql") {
            missing.append(("postgres", "postgresql"))
        }
        var findings: [Finding] =
            missing.isEmpty
            ? [.ok("programs", "all that are needed are installed")]
            : [
                .fail(
                    "programs", "missing: \(missing.map(\.0).joined(separator: ", "))",
                    hint: "apt-get install \(missing.map(\.1).joined(separator: " "))")
            ]
        // What pages load in browsers: a file that the package brings, and its name.
        let libraries = [
            ("/usr/share/javascript/codemirror/addon/mode/simple.js", "libjs-codemirror"),
            ("/usr/share/javascript/xterm/xterm.css", "libjs-xterm"),
            ("/usr/share/nodejs/xterm/lib/public/Terminal.js", "node-xterm"),
        ].filter { !files.fileExists(atPath: $0.0) }.map(\.1)
        findings.append(
            libraries.isEmpty
                ? .ok("pages", "all that they load in browsers is installed")
                : .warn(
                    "pages", "they do without \(libraries.joined(separator: ", "))",
                    hint: "apt-get install \(libraries.joined(separator: " ")), and start Martlet again."))
        do {
            _ = try RuntimeCatalog(directory: settings.runtimes)
            findings.append(.ok("runtimes", "the languages in '\(settings.runtimes)' are well described"))
        } catch {
            findings.append(.fail("runtimes", "\(error)", hint: "Name their directory by MARTLET_RUNTIMES."))
        }
        return findings
    }

    func checkInstallation(_ running: RunningInstallation?) -> [Finding] {
        var findings: [Finding] = []
        let directory = settings.dataDirectory.path
        if let running {
            findings.append(
                .ok("up", "runs on '\(directory)' as process \(running.pid)\(running.url.map { ", \($0)" } ?? "")"))
        } else if settings.databaseURL == nil || settings.redisURL == nil {
            findings.append(
                .fail(
                    "up", "'martlet up' does not run on '\(directory)'",
                    hint: geteuid() == 0
                        ? "Start it: 'martlet up'." : "Start it; if root has started it, use 'sudo martlet doctor'."))
        }
        var status = statvfs()
        if statvfs(directory, &status) == 0 {
            let free = (Int(status.f_bavail) * Int(status.f_frsize)) >> 20
            findings.append(
                free < 1_024
                    ? .warn("disk", "\(free) MB are left for '\(directory)'", hint: "Free some: databases stop at 0.")
                    : .ok("disk", "\(free >> 10) GB are left for '\(directory)'"))
        }
        return findings
    }

    func checkDatabase(_ database: PostgresPool) async -> [Finding] {
        let hint = "Is it running? Its log: \(settings.dataDirectory.logPath)/postgresql.log; else check DATABASE_URL."
        return await check("postgresql", hint: hint) {
            let startedAt = ContinuousClock.now
            let version = try await database.query("SELECT current_setting('server_version') AS version")
                .first?.decode("version", as: String.self)
            var findings: [Finding] = [
                .ok("postgresql", "version \(version ?? "?") answers in \(milliseconds(since: startedAt))")
            ]
            let pending = try await Migrator(pool: database, migrations: Fleet.migrations).pending()
            findings.append(
                pending.isEmpty
                    ? .ok("migrations", "all \(Fleet.migrations.count) applied")
                    : .fail(
                        "migrations", "\(pending.count) not applied: \(pending.map(\.name).joined(separator: ", "))",
                        hint: "Run 'martlet migrate', or start 'martlet up' anew."))
            return findings
        }
    }

    func checkRedis(_ redis: RedisClient?, url: String) async -> [Finding] {
        let hint = "Is it running? Its log: \(settings.dataDirectory.logPath)/redis.log; else check REDIS_URL."
        guard let redis else { return [.fail("redis", "its URL is not of a known form", hint: "Check REDIS_URL.")] }
        return await check("redis", hint: hint) {
            let startedAt = ContinuousClock.now
            _ = try await redis.command("PING")
            let time = milliseconds(since: startedAt)
            let information = try await redis.command("INFO").text ?? ""
            func field(_ name: String) -> String? {
                information.split(whereSeparator: \.isNewline).first { $0.hasPrefix("\(name):") }
                    .map { String($0.dropFirst(name.count + 1)) }
            }
            var findings: [Finding] = [
                .ok("redis", "version \(field("redis_version") ?? "?") answers in \(time)")
            ]
            if let policy = field("maxmemory_policy"), policy != "noeviction" {
                findings.append(
                    .fail(
                        "redis memory", "under pressure it drops keys (maxmemory-policy \(policy)), jobs among them",
                        hint: "Set maxmemory-policy to noeviction."))
            }
            return findings
        }
    }

    func checkGateway() async -> [Finding] {
        guard let gateway else {
            return [
                .warn("gateway", "no URL to ask is known", hint: "Set MARTLET_URL, or start 'martlet up'.")
            ]
        }
        let health = await check("gateway", hint: "Start 'martlet up' or 'martlet gateway', or set MARTLET_URL.") {
            let startedAt = ContinuousClock.now
            try await gateway.checkHealth()
            return [.ok("gateway", "\(gateway.url) is ready, answers in \(milliseconds(since: startedAt))")]
        }
        guard health.allSatisfy({ $0.verdict == .ok }) else { return health }
        return await health
            + check("token", hint: "'martlet up' makes a new one if credentials.json is removed.") {
                try await gateway.checkToken()
                return [.ok("token", "is accepted")]
            }
    }

    func checkProvider() async -> [Finding] {
        let faults = await diagnoseProvider()
        guard faults.isEmpty else {
            return faults.map {
                .fail("provider", $0, hint: "Until then its VMs cannot be made here.")
            }
        }
        return await check("provider", hint: "See the message above.", within: .seconds(30)) {
            var findings: [Finding] = []
            for provider in try await providers() {
                let count = try await provider.list().count
                let description = await describeProvider(provider.kind).map { ": \($0)" } ?? ""
                findings.append(
                    .ok("provider", "'\(provider.kind.rawValue)' works, it has \(count) VMs\(description)"))
            }
            if let problem = diagnoseNetwork() {
                findings.append(
                    .warn(
                        "network", "runs have none on this machine, whatever their users' tiers say: \(problem)",
                        hint: "Then stop and start the VMs that are to have it."))
            } else if settings.providers.contains("local") {
                findings.append(.ok("network", "runs of users who may can reach the internet, and nothing nearer"))
            }
            return findings
        }
    }

    func checkMasterKey() async -> (SecretBox?, Finding) {
        do {
            let key = try MasterKey.load(text: settings.masterKey, file: settings.masterKeyFile, mayCreate: false)
            return (try SecretBox(key: key), .ok("master key", "is there, for its owner alone"))
        } catch {
            let hint = (error as? OperatorError)?.hint ?? "Restore it from a backup."
            return (nil, .fail("master key", (error as? OperatorError)?.message ?? "\(error)", hint: hint))
        }
    }
}

func milliseconds(since instant: ContinuousClock.Instant) -> String {
    String(format: "%.1f ms", instant.duration(to: .now) / .milliseconds(1))
}
