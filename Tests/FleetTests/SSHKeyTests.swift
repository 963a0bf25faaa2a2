import Cryptography
import Foundation
import PostgreSQL
import TestSupport
import Testing

@testable import Fleet

extension Live {
    @Suite struct SSHKeyTests {
        private func key(_ comment: String = "laptop") throws -> SSHPublicKey {
            try SSHPublicKey(SSHKeyPair.generate(comment: comment).publicKey)
        }

        @Test func aKeyIsKeptOnceAndWrittenDown() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let actor = AuditActor(caller)
                let keys = bench.fleet.sshKeys
                let key = try key("me at home")
                let added = try await keys.add(key, for: caller.userID, by: actor, requestID: "r")
                #expect(
                    added.name == "me at home" && added.publicKey == key.text && added.fingerprint == key.fingerprint)
                #expect(added.publicKey.hasPrefix("ssh-ed25519 ") && added.algorithm == "ssh-ed25519")
                let again = await refusal { try await keys.add(key, name: "other", for: caller.userID, by: actor) }
                #expect(again?.code == .alreadyExists && again?.message.contains("me at home") == true)
                #expect(try await keys.list(of: caller.userID) == [added])

                // Another may have the same: who has the private half is not known.
                let other = try await bench.caller()
                _ = try await keys.add(key, name: "mine", for: other.userID, by: AuditActor(other))
                let foreign = await refusal { try await keys.remove(added.id, of: other.userID, by: AuditActor(other)) }
                #expect(foreign?.code == .sshKeyNotFound)
                try await keys.remove(added.id, of: caller.userID, by: actor, requestID: "r2")
                #expect(try await keys.list(of: caller.userID).isEmpty)
                #expect(try await keys.list(of: other.userID).count == 1)
                let gone = await refusal { try await keys.remove(added.id, of: caller.userID, by: actor) }
                #expect(gone?.code == .sshKeyNotFound)

                var filter = AuditFilter()
                filter.action = "ssh_key."
                filter.user = caller.userID
                let lines = try await bench.fleet.audit.search(filter)
                #expect(lines.map(\.action) == ["ssh_key.remove", "ssh_key.add"])
                #expect(lines.last?.detail["fingerprint"] == key.fingerprint && lines.last?.requestID == "r")
            }
        }

        @Test func namesAreOfOneForm() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let actor = AuditActor(caller)
                let unnamed = try await bench.fleet.sshKeys.add(key(""), for: caller.userID, by: actor)
                #expect(unnamed.name == "ssh-ed25519")
                for name in ["", " ", "a\nb", String(repeating: "a", count: 101)] {
                    let error = await refusal {
                        try await bench.fleet.sshKeys.add(key(), name: name, for: caller.userID, by: actor)
                    }
                    #expect(error?.code == .invalidRequest)
                }
                let nobody = await refusal { try await bench.fleet.sshKeys.add(key(), for: UserID(), by: actor) }
                #expect(nobody?.code == .userNotFound)
            }
        }

        /// However many add at once.
        @Test func thereAreNoMoreThan64() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                for number in 0..<60 {
                    _ = try await bench.fleet.sshKeys.add(
                        key(), name: "\(number)", for: caller.userID, by: AuditActor(caller))
                }
                let codes = await withTaskGroup(of: ServiceError.Code?.self) { group in
                    for number in 60..<70 {
                        group.addTask {
                            do {
                                let pair = try SSHKeyPair.generate(comment: "")
                                _ = try await bench.fleet.sshKeys.add(
                                    SSHPublicKey(pair.publicKey), name: "\(number)", for: caller.userID,
                                    by: AuditActor(caller))
                                return nil
                            } catch {
                                return (error as? ServiceError)?.code ?? .internalError
                            }
                        }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                #expect(codes.filter { $0 == nil }.count == 4)
                #expect(codes.filter { $0 == .quotaExceeded }.count == 6)
                #expect(try await bench.fleet.sshKeys.list(of: caller.userID).count == 64)
            }
        }

        @Test func hostsHaveTheKeyThatTheirMachineIsGiven() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller(tier: .pro)
                let vm = try await bench.vm(.stopped, of: caller)
                let fresh = try await bench.create("fresh", for: caller)
                let hosts = try await bench.fleet.environments.sshHosts(of: caller.userID)
                #expect(hosts.map(\.environment.id) == [vm.id, fresh.id] && hosts.allSatisfy { $0.user == "martlet" })
                for host in hosts {
                    let secrets = try await bench.fleet.environments.secrets(for: host.environment.id)
                    #expect(secrets.hostKey.publicKey.hasPrefix(host.hostKey + " "))
                    #expect(secrets.hostKey.fingerprint == host.fingerprint)
                }
                #expect(try await bench.fleet.environments.sshHosts(of: try await bench.caller().userID).isEmpty)
            }
        }
    }
}
