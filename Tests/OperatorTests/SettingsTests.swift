import Foundation
import Operator
import TestSupport
import Testing

@Suite struct SettingsTests {
    @Test func flagsComeBeforeEnvironmentBeforeFileBeforeDefaults() async throws {
        try await withTemporaryDirectory { directory in
            let file = "\(directory)/config.json"
            try #"{"host": "file", "port": 1, "provider": "file"}"#.write(
                toFile: file, atomically: true, encoding: .utf8)
            var flags = SettingsLayer()
            flags.host = "flag"
            let settings = try Settings(
                flags: flags, configurationFile: file, environment: ["MARTLET_HOST": "env", "MARTLET_PORT": "2"])
            #expect(settings.host == "flag")
            #expect(settings.port == 2)
            #expect(settings.provider == "file")
            #expect(settings.databaseURL == nil)
        }
    }

    @Test func theFirstOfSeveralProvidersMakesNewVMs() throws {
        func settings(_ list: String) throws -> Settings {
            try Settings(flags: SettingsLayer(), configurationFile: nil, environment: ["VM_PROVIDER": list])
        }
        #expect(try settings("docker, local").providers == ["docker", "local"])
        #expect(try settings("docker, local").provider == "docker")
        for list in ["local,", ",", "local,local"] {
            let error = #expect(throws: OperatorError.self) { try settings(list) }
            #expect(error?.code == .invalidSetting)
        }
    }

    @Test func whatProviderOVHLacksIsNamedAndItsSecretsAreNot() async throws {
        let keys = [
            "OVH_APPLICATION_KEY": "key", "OVH_APPLICATION_SECRET": "hidden", "OVH_CONSUMER_KEY": "unseen",
            "OVH_CLOUD_PROJECT_SERVICE": "project",
        ]
        func ovh(_ environment: [String: String], _ flags: SettingsLayer = SettingsLayer()) throws -> OVHSettings {
            try Settings(flags: flags, configurationFile: nil, environment: environment).ovh
        }
        var flags = SettingsLayer()
        flags.ovhProject = "other"
        flags.ovhRegion = "BHS5"
        let whole = try ovh(keys, flags)
        #expect(try whole.complete().project == "other" && whole.complete().consumerKey == "unseen")
        #expect(whole.endpoint == "ovh-eu" && whole.region == "BHS5" && whole.sshPort == 22)
        for missing in keys.keys {
            let error = #expect(throws: OperatorError.self) {
                try ovh(keys.filter { $0.key != missing }).complete()
            }
            #expect(error?.code == .invalidSetting && error?.message.hasSuffix("lacks \(missing).") == true)
            #expect(error.map { !"\($0)".contains("hidden") && !"\($0)".contains("unseen") } == true)
        }
        #expect(throws: OperatorError.self) { try ovh(["OVH_SSH_PORT": "0"]) }
        try await withTemporaryDirectory { directory in
            let file = "\(directory)/config.json"
            try #"{"ovhEndpoint": "ovh-ca", "ovhSSHPort": 2222}"#.write(toFile: file, atomically: true, encoding: .utf8)
            let settings = try Settings(flags: SettingsLayer(), configurationFile: file, environment: keys)
            #expect(settings.ovh.endpoint == "ovh-ca" && settings.ovh.sshPort == 2_222)
        }
    }

    static func worker(
        _ environment: [String: String] = [:], _ flags: SettingsLayer = SettingsLayer(), file: String? = nil
    ) throws -> WorkerSettings {
        try Settings(flags: flags, configurationFile: file, environment: environment).worker
    }

    @Test func howAWorkerWorksIsSetByFlagsEnvironmentAndFile() async throws {
        let standard = try Self.worker()
        #expect(standard.provisionConcurrency == 2 && standard.controlConcurrency == 5)
        #expect(standard.jobAttempts == .init(provision: 3, control: 2))
        #expect(standard.jobBackoff == .init(provision: .seconds(5), control: .seconds(2)))
        #expect(standard.sweepInterval == .seconds(15) && standard.reconcileInterval == .seconds(30))
        #expect(standard.pruneInterval == .seconds(3_600) && standard.drainTimeout == .seconds(30))
        #expect(standard.executionRetention == .seconds(90 * 86_400))
        #expect(standard.auditRetention == .seconds(400 * 86_400))
        #expect(standard.uptimeRetention == .seconds(400 * 86_400))
        try await withTemporaryDirectory { directory in
            let file = "\(directory)/config.json"
            try """
            {"provisionConcurrency": 7, "controlConcurrency": 8, "jobAttempts": 4, "jobBackoff": "control=0.5",
             "sweepInterval": 1.5, "reconcileInterval": 60, "pruneInterval": 120, "drainTimeout": 90}
            """.write(toFile: file, atomically: true, encoding: .utf8)
            var flags = SettingsLayer()
            flags.worker.provisionConcurrency = 9
            let settings = try Self.worker(
                ["MARTLET_CONTROL_CONCURRENCY": "10", "MARTLET_JOB_BACKOFF": "provision=1, control=3"], flags,
                file: file)
            #expect(settings.provisionConcurrency == 9 && settings.controlConcurrency == 10)
            #expect(settings.jobAttempts == .init(provision: 4, control: 4))
            #expect(settings.jobBackoff == .init(provision: .seconds(1), control: .seconds(3)))
            #expect(settings.sweepInterval == .milliseconds(1_500) && settings.reconcileInterval == .seconds(60))
            #expect(settings.pruneInterval == .seconds(120) && settings.drainTimeout == .seconds(90))
            let alone = try Self.worker(file: file).jobBackoff
            #expect(alone == .init(provision: .seconds(5), control: .milliseconds(500)))
        }
    }

    @Test func recordsAreKeptForDaysOrForEver() async throws {
        func days(_ count: Int) -> Duration { .seconds(count * 86_400) }
        try await withTemporaryDirectory { directory in
            let file = "\(directory)/config.json"
            try #"{"executionRetention": 7, "auditRetention": "never", "uptimeRetention": 0}"#.write(
                toFile: file, atomically: true, encoding: .utf8)
            let settings = try Self.worker(file: file)
            #expect(settings.executionRetention == days(7))
            #expect(settings.auditRetention == nil && settings.uptimeRetention == nil)
            var flags = SettingsLayer()
            flags.worker.executionRetention = "0"
            let environment = ["MARTLET_EXECUTION_RETENTION": "30", "MARTLET_AUDIT_RETENTION": "800"]
            let above = try Self.worker(environment, flags, file: file)
            #expect(above.executionRetention == nil && above.auditRetention == days(800))
            #expect(above.uptimeRetention == nil)
            #expect(try Self.worker(["MARTLET_UPTIME_RETENTION": "32"]).uptimeRetention == days(32))
        }
    }

    private static let root = (#filePath as NSString).deletingLastPathComponent + "/../.."

    /// sudo passes on what the Makefile lists, and nothing else.
    @Test func makeUpAsRootKnowsEveryVariable() throws {
        let makefile = try String(contentsOfFile: "\(Self.root)/Makefile", encoding: .utf8)
        let list = try #require(makefile.firstMatch(of: /PRESERVED := (?<names>(?:.*\$\\\n)*.*)\n/)).names
        let preserved = Set(list.matches(of: /[A-Z][A-Z_]+/).map { String($0.output) })
        #expect(Set(SettingsLayer.variables).subtracting(preserved).isEmpty)
    }

    @Test(arguments: [
        ("MARTLET_PROVISION_CONCURRENCY", ["0", "-1", "257", "2.5", "many"]),
        ("MARTLET_CONTROL_CONCURRENCY", ["0", "-1", "100000"]),
        ("MARTLET_JOB_ATTEMPTS", ["0", "-2", "101", "provision=0", "provision=1,provision=2", "start=2", "=", "x"]),
        ("MARTLET_JOB_BACKOFF", ["0", "-1", "3601", "nan", "control=inf", "control", "5s"]),
        ("MARTLET_SWEEP_INTERVAL", ["0", "-15", "0.01", "3601", "nan"]),
        ("MARTLET_RECONCILE_INTERVAL", ["0", "-1", "1e9"]), ("MARTLET_PRUNE_INTERVAL", ["0", "-1", "0.5", "inf"]),
        ("MARTLET_EXECUTION_RETENTION", ["-1", "1.5", "always", "36501", "90d"]),
        ("MARTLET_AUDIT_RETENTION", ["-1", "0.5", "NEVER"]), ("MARTLET_UPTIME_RETENTION", ["1", "31", "-32"]),
        ("MARTLET_DRAIN_TIMEOUT", ["0", "-30", "86401", "soon"]),
    ])
    func whatNoWorkerCouldWorkByIsRefused(variable: String, values: [String]) {
        for value in values {
            let error = #expect(throws: OperatorError.self, "\(variable)=\(value)") {
                try Self.worker([variable: value])
            }
            #expect(error?.code == .invalidSetting && error?.hint.isEmpty == false)
        }
    }

    @Test func whatBrowsersMayDoIsListed() throws {
        func settings(_ environment: [String: String]) throws -> Settings {
            try Settings(flags: SettingsLayer(), configurationFile: nil, environment: environment)
        }
        #expect(try settings([:]).allowedOrigins.isEmpty && settings([:]).methodOverride == false)
        let listed = try settings([
            "MARTLET_ALLOWED_ORIGINS": "https://a.example, http://localhost:3000", "MARTLET_METHOD_OVERRIDE": "true",
        ])
        #expect(listed.allowedOrigins == ["https://a.example", "http://localhost:3000"] && listed.methodOverride)
        for text in ["*", "a.example", "https://a.example/", "https://a.example/path"] {
            #expect(throws: OperatorError.self) { try settings(["MARTLET_ALLOWED_ORIGINS": text]) }
        }
        #expect(throws: OperatorError.self) { try settings(["MARTLET_METHOD_OVERRIDE": "perhaps"]) }
    }

    @Test func whatRunsMustNotReachIsListed() throws {
        func denied(_ text: String) throws -> [String] {
            try Settings(
                flags: SettingsLayer(), configurationFile: nil, environment: ["MARTLET_EGRESS_DENY": text]
            ).egressDenied
        }
        #expect(
            try denied("203.0.113.7, 198.51.100.0/24,2001:db8::/32") == [
                "203.0.113.7", "198.51.100.0/24", "2001:db8::/32",
            ])
        let tooMany = Array(repeating: "203.0.113.7", count: 41).joined(separator: ",")
        for text in ["db.example", "203.0.113.0/33", "203.0.113.0/", "2001:db8::/129", "203.0.113/24", "a/8", tooMany] {
            #expect(throws: OperatorError.self, "\(text)") { try denied(text) }
        }
    }

    @Test(arguments: [
        (#"{"prot": 1}"#, "prot"), (#"{"port": "high"}"#, "port"), (#"{"port": 70000}"#, "70000"),
        (#"{"logLevel": "loud"}"#, "logLevel"), (#"[1]"#, "config.json"), (#"{"#, "config.json"),
    ])
    func aMistakeInTheFileIsNamed(text: String, named: String) async throws {
        try await withTemporaryDirectory { directory in
            let file = "\(directory)/config.json"
            try text.write(toFile: file, atomically: true, encoding: .utf8)
            let error = #expect(throws: OperatorError.self) {
                try Settings(flags: SettingsLayer(), configurationFile: file, environment: [:])
            }
            #expect(error?.message.contains(named) == true)
        }
    }
}

@Suite struct InstallationTests {
    @Test func aSecondOneIsToldOfTheFirst() async throws {
        try await withTemporaryDirectory { path in
            let directory = DataDirectory(path: "\(path)/data")
            let first = try await Installation(claiming: directory)
            var state = RunningInstallation(pid: 4242)
            state.url = "http://127.0.0.1:1"
            state.databaseURL = "d"
            try first.announce(state)
            let error = await #expect(throws: OperatorError.self) { try await Installation(claiming: directory) }
            #expect(error?.code == .alreadyRunning)
            #expect(error?.message.contains("4242") == true)
            #expect(error?.message.contains("http://127.0.0.1:1") == true)
            #expect(Installation.running(in: directory)?.databaseURL == "d")
            withExtendedLifetime(first) {}
        }
    }

    @Test func whatADeadOneLeftIsNotBelieved() async throws {
        try await withTemporaryDirectory { path in
            let directory = DataDirectory(path: "\(path)/data")
            do { _ = try await Installation(claiming: directory) }
            #expect(Installation.running(in: directory) == nil)
        }
    }
}

@Suite struct MasterKeyTests {
    @Test func itIsMadeOnceForItsOwnerAlone() async throws {
        try await withTemporaryDirectory { path in
            let file = "\(path)/master.key"
            #expect(throws: OperatorError.self) { try MasterKey.load(text: nil, file: file, mayCreate: false) }
            let key = try MasterKey.load(text: nil, file: file, mayCreate: true)
            #expect(key.count == 32)
            #expect(try MasterKey.load(text: nil, file: file, mayCreate: true) == key)
            #expect(try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int == 0o600)
            chmod(file, 0o644)
            #expect(throws: OperatorError.self) { try MasterKey.load(text: nil, file: file, mayCreate: false) }
        }
    }

    @Test(arguments: ["", "abc", String(repeating: "g", count: 64), String(repeating: "a", count: 63)])
    func nonsenseIsRefused(text: String) {
        #expect(throws: OperatorError.self) { try MasterKey.load(text: text, file: "/nowhere", mayCreate: false) }
    }
}
