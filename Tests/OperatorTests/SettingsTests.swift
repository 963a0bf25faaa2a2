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
