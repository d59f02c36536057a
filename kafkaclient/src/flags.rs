//! The flags of a program that reaches Kafka.

/// Makes `KafkaFlags`, the flags of TLS and SASL, whose environment variables begin with `$prefix`.
#[macro_export]
macro_rules! flags {
    ($prefix:literal) => {
        /// TLS and SASL to Kafka.
        #[derive(Debug, Clone, Default, $crate::clap::Args)]
        pub struct KafkaFlags {
            /// What the brokers' listener speaks.
            #[arg(long, env = concat!($prefix, "KAFKA_SECURITY_PROTOCOL"))]
            #[arg(value_enum, default_value_t)]
            pub kafka_security_protocol: $crate::Protocol,

            /// The authorities that the brokers' certificates must be signed by, in PEM; the
            /// system's where there is none. Read when the program starts.
            #[arg(long, env = concat!($prefix, "KAFKA_CA_FILE"))]
            pub kafka_ca_file: Option<std::path::PathBuf>,

            /// The certificate that is shown to the brokers, in PEM, where they ask for one.
            #[arg(long, env = concat!($prefix, "KAFKA_CERTIFICATE_FILE"))]
            pub kafka_certificate_file: Option<std::path::PathBuf>,

            /// The key of that certificate, in PEM.
            #[arg(long, env = concat!($prefix, "KAFKA_KEY_FILE"))]
            pub kafka_key_file: Option<std::path::PathBuf>,

            /// How the brokers want to be shown the password.
            #[arg(long, env = concat!($prefix, "KAFKA_SASL_MECHANISM"))]
            #[arg(value_enum, requires = "kafka_sasl_username")]
            pub kafka_sasl_mechanism: Option<$crate::Mechanism>,

            /// The account at the brokers.
            #[arg(long, env = concat!($prefix, "KAFKA_SASL_USERNAME"))]
            #[arg(requires = "kafka_sasl_password_file")]
            pub kafka_sasl_username: Option<String>,

            /// The file that holds its password. Read again every two seconds: a new password is
            /// used for each connection from then on.
            #[arg(long, env = concat!($prefix, "KAFKA_SASL_PASSWORD_FILE"))]
            #[arg(requires = "kafka_sasl_mechanism")]
            pub kafka_sasl_password_file: Option<std::path::PathBuf>,
        }

        impl KafkaFlags {
            /// What the flags say.
            ///
            /// # Errors
            /// When they do not go together.
            pub fn security(&self) -> Result<$crate::Security, $crate::Incomplete> {
                let (mechanism, username, file) = (
                    self.kafka_sasl_mechanism,
                    self.kafka_sasl_username.clone(),
                    self.kafka_sasl_password_file.clone(),
                );
                let sasl = match (mechanism, username, file) {
                    (Some(mechanism), Some(username), Some(file)) => Some($crate::Sasl {
                        mechanism,
                        username,
                        password: $crate::SecretFile::new(file),
                    }),
                    _ => None,
                };
                let security = $crate::Security {
                    protocol: self.kafka_security_protocol,
                    ca_file: self.kafka_ca_file.clone(),
                    certificate_file: self.kafka_certificate_file.clone(),
                    key_file: self.kafka_key_file.clone(),
                    sasl,
                };
                security.check().map(|()| security)
            }
        }
    };
}

#[cfg(test)]
// What the macro makes is public in a program's library.
#[expect(unreachable_pub)]
mod tests {
    use clap::{CommandFactory, Parser};

    flags!("TEST_");

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        kafka: KafkaFlags,
    }

    #[test]
    fn an_account_is_whole_or_refused() {
        Program::command().debug_assert();
        let parse = |line: &str| Program::try_parse_from(line.split(' '));
        let whole = "p --kafka-security-protocol SASL_SSL --kafka-sasl-mechanism SCRAM-SHA-256 \
                     --kafka-sasl-username u --kafka-sasl-password-file /f";
        let security = parse(whole).ok().unwrap().kafka.security().unwrap();
        assert_eq!(security.sasl.unwrap().username, "u");
        assert!(parse("p --kafka-sasl-username u").is_err());
        let none = parse("p --kafka-security-protocol SASL_SSL").ok().unwrap();
        assert!(none.kafka.security().is_err());
        assert!(parse("p").ok().unwrap().kafka.security().is_ok());
    }
}
